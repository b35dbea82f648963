"""The shop's topics and events as an AsyncAPI 3 document: the copy for other programs, made from the declarations.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import json
from functools import cache
from pathlib import Path

import fastjsonschema

from .events import TYPES
from .topics import TOPICS

SCHEMA = Path(__file__).parents[2] / "assets" / "asyncapi" / "3.0.0.json"  # the official one; see the README beside it
HEADERS = "ce_id ce_type ce_source ce_subject ce_time content-type ce_correlationid ce_causationid ce_traceparent"


class BadDocument(ValueError):
    """Not a valid AsyncAPI 3.0.0 document."""


def document():
    """The document as a dict: a channel for each topic, a message for each event type, an operation for each group."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "The shop", "version": "1.0.0", "description": "CloudEvents over Kafka, binary mode."},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(name, *declared) for name, declared in TYPES.items()},
            "schemas": {"headers": _headers()},
        },
    }


def _channel(topic):
    names = [name for name, (of, _, _) in TYPES.items() if of == topic.name]
    return {
        "address": topic.name,
        "description": f"key: {topic.key}; written by: {topic.writes}; kept: {topic.kept}",
        "messages": {name: _ref("components", "messages", name) for name in names},
        "bindings": {"kafka": {"partitions": topic.partitions, "topicConfiguration": _configuration(topic)}},
    }


def _configuration(topic):
    """AsyncAPI has a number and a list where Kafka's settings are text."""
    typed = {"retention.ms": int, "cleanup.policy": lambda text: [text]}
    return {name: typed[name](value) for name, value in topic.configs.items()}


def _message(name, topic, key, schema):
    return {
        "name": f"shop.{name}.v1",
        "headers": _ref("components", "schemas", "headers"),
        "payload": schema,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
    }


def _headers():
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in HEADERS.split()},
        "required": HEADERS.split(),
    }


def _operations():
    """(name, operation) of each group that reads a topic, and one for the writers of each topic."""
    for topic in TOPICS:
        channel = _ref("channels", topic.name)
        yield f"write.{topic.name}", {"action": "send", "channel": channel, "summary": topic.writes}
        for group in topic.readers:
            yield f"{group}.reads.{topic.name}", {"action": "receive", "channel": channel, "summary": group}


def _ref(*path):
    return {"$ref": "#/" + "/".join(path)}


def check(found):
    """Raises BadDocument when a document breaks the official schema of AsyncAPI 3.0.0, or has a $ref to nothing."""
    try:
        _validator()(found)
    except fastjsonschema.JsonSchemaException as error:
        raise BadDocument(error.message) from error
    for path in _refs(found):
        if not _leads_somewhere(found, path.removeprefix("#/").split("/")):
            raise BadDocument(f"$ref {path!r} leads nowhere")


@cache
def _validator():
    schema = _without_examples(json.loads(SCHEMA.read_text()))
    return fastjsonschema.compile(schema, use_default=False)  # with defaults it would write them into the document


def _without_examples(schema):
    """The schema without its lists of examples: they check nothing, and hold $refs that are not the schema's own."""
    if isinstance(schema, list):
        return [_without_examples(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: part for name, part in schema.items() if name != "examples" or not isinstance(part, list)}
    return {name: _without_examples(part) for name, part in kept.items()}


def _refs(part):
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
        yield from _refs(inner)


def _leads_somewhere(found, path):
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True

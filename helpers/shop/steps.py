"""The step log of a process: what it did with each record, as lines of JSON, for the sequence diagram.

Fields: t (time.monotonic(), which all processes of this machine share), member, service, step, ce_id, order, type,
topic, partition, offset. Steps: received, refused (by the inbox), skipped (no business of this service), parked, tx
committed, sending (no place yet), published, failed (final: for good), offset committed, crashed.
"""

import json
import os
import time

from . import events


class Steps:
    """Appends to <folder>/<member>.steps; a batch is one write."""

    def __init__(self, folder, member, service):
        self.member, self.service = member, service
        self.file = os.open(folder / f"{member}.steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, step, rows):
        """Logs the step for each row, a dict of the other fields."""
        t = time.monotonic()
        who = {"t": t, "member": self.member, "service": self.service, "step": step}
        lines = [json.dumps(who | row) for row in rows]
        if lines:
            os.write(self.file, ("\n".join(lines) + "\n").encode())


def about(event):
    """The fields of a line that tell the event; None: the record is no event."""
    if not event:
        return {"ce_id": None, "order": None, "type": None}
    order = event.get_extension("correlationid")
    return {"ce_id": event.get_id(), "order": order, "type": events.name_of(event)}


def place(record, prefix):
    """The fields that tell where a record is; the topic without the chapter's prefix."""
    topic = record.topic.removeprefix(prefix)
    return {"topic": topic, "partition": record.partition, "offset": record.offset}


def where(line):
    """Where the record of a line is, as (topic, partition, offset)."""
    return line["topic"], line["partition"], line["offset"]


def read(folder):
    """All steps of all processes of a run, as dicts, each process's in its order."""
    for path in sorted(folder.glob("*.steps")):
        yield from map(json.loads, path.read_text().splitlines())

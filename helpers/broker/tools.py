"""Kafka's own command line tools, without Docker: `kafka-topics --list --bootstrap-server 127.0.0.1:9092`.

Each name on the PATH runs the tool's real main class with the arguments as they are.
"""

import os
import sys
from pathlib import Path

from . import jvm
from .errors import LabError
from .places import kafka_version

MAIN_CLASSES = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
}
BEFORE_4_3 = {"kafka-dump-log": "kafka.tools.DumpLogSegments"}  # moved by apache/kafka#21223


def main_class(tool, version):
    """The main class of a tool in this version of Kafka."""
    if tuple(map(int, version.split(".")[:2])) < (4, 3) and tool in BEFORE_4_3:
        return BEFORE_4_3[tool]
    return MAIN_CLASSES[tool]


def main():
    """Becomes the tool by whose name it was called."""
    tool = Path(sys.argv[0]).stem
    try:
        version = kafka_version()
        line = jvm.command(version, main_class(tool, version), *sys.argv[1:], log4j="tools-log4j2.xml")
    except LabError as error:
        sys.exit(f"{tool}: {error}")
    os.execve(line[0], line, jvm.environment())

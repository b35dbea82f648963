"""What a learner's function gets as `me`, and how it is run."""

import io
import logging
import os
import pickle
import signal
import sys
import sysconfig
import threading
import time
import traceback
from pathlib import Path

import cloudpickle
from kafka.errors import KafkaError

from .consumer_events import follow

CLOSING = 1500  # ms for a goodbye: the broker does not read it while it keeps the member waiting to join
LOOK = 200  # ms: how often a consumer that gets no records looks whether it should stop
MOST_LINES, LONGEST = 1000, 1000  # of what a member prints: lines, and letters of a line
NOT_THE_LEARNERS = [Path(__file__).parent, *map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))]


class Me:
    """A member, as its function sees it.

    name; group: the full name of the consumer group; client: settings for every Kafka client,
    KafkaConsumer(**me.client); stopping: whether the member was asked to stop; log("paid", user="ann"): adds an event
    of its own to the timeline.
    """

    def __init__(self, log, name, group, client):
        self.log, self.name, self.group, self.client = log, name, group, client
        self.stopping, self.consumers = False, []

    def records(self, consumer):
        """Yields the consumer's records; when the member is asked to stop, ends after the one at hand.

        A record counts as handled when the next one is asked for. Where poll() raises an error that passes (it is
        retriable: a broker that is out of reach for a moment), it is asked again.
        """
        self.follow(consumer)
        consumer.config["consumer_timeout_ms"] = LOOK
        while not self.stopping:
            try:
                for record in consumer:
                    yield record
                    self.log("handled", topic=record.topic, partitions=[record.partition], offset=record.offset)
                    if self.stopping:
                        break
            except KafkaError as error:
                if not error.retriable:
                    raise
                self.log("retried", error=type(error).__name__)
                time.sleep(LOOK / 1000)

    def follow(self, consumer):
        """Logs what the consumer does (consumer_events.py), and closes it when the function has returned.

        A consumer without the member's group is logged as astray.

        records() calls this. In a loop of your own call it before the first poll().
        """
        if consumer not in self.consumers:
            self.consumers.append(consumer)
            if self.group and consumer.config["group_id"] != self.group:
                self.log("astray", group=consumer.config["group_id"])
            follow(self.log, consumer)


def run(log, payload, guard):
    """Runs a member's function in the process that was made for it. Does not return.

    A function that raises ends its process as it is: its consumers say no goodbye to their group.
    """
    threading.Thread(target=_die_with, args=[guard], daemon=True).start()
    sys.stdout, sys.stderr = Prints(log, "printed"), Prints(log, "warned")
    logging.basicConfig(format="%(name)s: %(message)s")  # the client's warnings
    code = 1
    try:
        *about, path, function = pickle.loads(payload)
        me = Me(log, *about)
        signal.signal(signal.SIGTERM, lambda *_: setattr(me, "stopping", True))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        sys.path[:] = path
        cloudpickle.loads(function)(me)
        for consumer in me.consumers:
            consumer.close(timeout_ms=CLOSING)
        code = 0
    except BaseException as error:  # noqa: BLE001 (whatever it is, the process ends and the learner is told)
        text = "".join(traceback.format_exception_only(error)).strip()
        frames = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(error.__traceback__)]
        log("raised", error=text, frames=[frame for frame in frames if _is_learners(frame[0])])
    finally:
        sys.stdout.end()
        sys.stderr.end()
        os._exit(code)


def _is_learners(file):
    """Whether a line of this file is the learner's, and neither a library's nor ours."""
    return not any(Path(file).is_relative_to(folder) for folder in NOT_THE_LEARNERS)


def _die_with(guard):
    while os.getppid() == guard:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


class Prints(io.TextIOBase):
    """Standard output of a member: each line is an event, until there are too many."""

    def __init__(self, log, event):
        self.log, self.event, self.rest, self.left = log, event, "", MOST_LINES

    def write(self, text):
        *lines, rest = (self.rest + text).split("\n")
        self.rest = rest[:LONGEST]
        for line in lines[: self.left]:
            self.left -= 1
            self.log(self.event, text=line[:LONGEST] if self.left else f"... after {MOST_LINES:,} lines: not kept")
        return len(text)

    def end(self):
        """Logs what was printed without an end of line."""
        if self.rest:
            self.write("\n")

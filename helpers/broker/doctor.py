"""python -m helpers.broker doctor: what the lab needs, what is wrong, and the command that mends it."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from subprocess import SubprocessError

import psutil

from . import doctor_kafka, doctor_machine
from .doctor_rows import fail
from .errors import LabError, course, python
from .places import CHECKOUT

DEADLINE = 4  # seconds for all checks, which run side by side

CHECKS = [
    doctor_machine.python_version,
    doctor_machine.packages,
    doctor_machine.kafka_package,
    doctor_machine.java,
    doctor_machine.kafka_version,
    doctor_machine.jars_in_cache,
    doctor_machine.prepared,
    doctor_machine.cache_writable,
    doctor_machine.data_writable,
    doctor_machine.disk,
    doctor_machine.memory,
    doctor_machine.docker,
    doctor_kafka.port_9092,
    doctor_kafka.record,
    doctor_kafka.data,
    doctor_kafka.strays,
    doctor_kafka.our_broker,
    doctor_kafka.bootstrap_servers,
    doctor_kafka.learner,
    doctor_kafka.advertised_address,
    doctor_kafka.consumer_groups,
]

EXPECTED = (LabError, OSError, ValueError, ImportError, SyntaxError, psutil.Error, SubprocessError)


def main():
    """Prints every check; returns 1 when one failed, else 0."""
    rows = checks()
    for row in rows:
        print(short_paths(str(row)))
    return 0 if all(row.ok for row in rows) else 1


def short_paths(text):
    """The text with paths as a person types them: from here, or from ~."""
    return text.replace(f"{CHECKOUT}{os.sep}", "").replace(str(Path.home()), "~")


def checks(asked=CHECKS):
    """One Row a check, in order. A check that raises, or that takes too long, is a Row that failed."""
    until = time.monotonic() + DEADLINE
    jobs = [_Job(check) for check in asked]
    return [replace(job.row(until), name=job.check.__name__.replace("_", " ")) for job in jobs]


class _Job:
    """A check in a thread of its own, which may be left behind: nothing waits for it for ever."""

    def __init__(self, check):
        self.check = check
        self.found = fail(
            f"no answer within {DEADLINE} s", course("doctor") + "   (again, when the machine is less busy)"
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.found = self.check()
        except _expected() as error:
            self.found = row_of(error)

    def row(self, until):
        self.thread.join(max(0, until - time.monotonic()))
        return self.found


def _expected():
    """What a check may raise. The wrong package `kafka` cannot even be imported."""
    try:
        from kafka.errors import KafkaError
    except (ImportError, SyntaxError):
        return EXPECTED
    return (*EXPECTED, KafkaError)


def row_of(error):
    """The Row that says what an exception says."""
    if isinstance(error, LabError):
        return fail(": ".join(filter(None, [error.what, error.why])), error.mend)
    seen = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError):  # files of a package are missing
        return fail(seen, f"{python()} -m pip install --force-reinstall -r '{CHECKOUT / 'requirements.txt'}'")
    return fail(seen, course("doctor") + "   (again; if this stays, mend the other rows first)")

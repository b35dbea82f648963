"""The log of one process: events, a line of JSON each, in a file that the process and its guard append to."""

import json
import os
import time


class Log:
    """Appends events. A line is one write, so that kill -9 cuts the last line at most; the next one begins afresh."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, event, **fields):
        """Logs an event now. The clock is time.monotonic(): all processes of a Linux or macOS system share it."""
        line = json.dumps({"t": time.monotonic(), "event": event, **fields}, default=str)
        os.write(self.file, f"\n{line}\n".encode(errors="replace"))


def read(file):
    """The whole lines that were added to an open log since the last call, as dicts."""
    place, data = file.tell(), file.read()
    whole = data[: data.rfind(b"\n") + 1]
    file.seek(place + len(whole))
    return [event for line in whole.splitlines() if (event := _event(line))]


def _event(line):
    try:
        return json.loads(line)
    except ValueError:  # an empty line, or one that kill -9 has cut
        return None

"""Processes that run a function of the notebook, seen from the notebook."""

import contextlib
import inspect
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from ..lab import LabError
from . import log
from .kernel_side import AGAIN, ENDED, link, packed

DEADLINE = 20  # seconds, for a condition: a client's heartbeat is every 3 s, and a rebalance waits for it
ENDING = 4  # seconds, for a member that was asked to end
MOST_SHOWN = 20  # lines that members printed, each time
ASTRAY = "group_id=me.group in KafkaConsumer: a consumer of this team has another group, or none"
TWICE = "if a cell ran twice: run again from the cell that started them on"
LONGER = f"{TWICE}; output(name) has what a member printed; wait(..., deadline=60) waits longer"
ALL_GONE = "output(name) shows what a member has printed or raised: mend it, and run the cell again"
UNLOGGED = (
    "read with `for record in me.records(consumer)`: a loop of your own logs nothing, "
    "unless me.follow(consumer) comes before its first poll()"
)
COLUMNS = ["t", "member", "event", "topic", "partitions", "offset"]

_started = {}  # the last Actors of each consumer group or function


class Process:
    """One process, as its log tells it."""

    def __init__(self, name, pid, path):
        self.name, self.pid, self.file, self.events = name, pid, open(path, "rb"), []  # noqa: SIM115
        self.owned, self.generation, self.paused, self.error, self.end = set(), None, False, "", ""

    def read(self):
        """Takes in what is new in the log, and returns it."""
        new = log.read(self.file)
        self.events += new
        for event in new:
            self._take(event, event["event"])
        return new

    def _take(self, event, kind):
        places = {(event.get("topic"), partition) for partition in event.get("partitions", ())}
        if kind == "assigned":
            self.owned |= places
        elif kind in ("revoked", "lost"):
            self.owned -= places
        elif kind in ("joining", "joined", "rejoined"):
            self.generation = event.get("generation")
        elif kind in ("paused", "resumed"):
            self.paused = kind == "paused"
        elif kind == "raised":
            self.error = event["error"]
            event["text"] = self.error + "\n" + "".join(traceback.format_list(map(_frame, event["frames"])))
        elif kind in ("left", "returned", "crashed", "killed"):
            self.end, self.owned = kind, set()

    def state(self):
        """What it does, or how it ended, in words."""
        if self.end:
            return f"{self.name} {self.end}" + (f": {self.error}" if self.error else "")
        owns = ", ".join(str(partition) for _, partition in sorted(self.owned)) or "nothing"
        joined = f"generation {self.generation}, owns {owns}" if self.generation else "has not joined a group"
        return f"{self.name} {'is paused' if self.paused else 'runs'}: {joined}"


def _frame(frame):
    return traceback.FrameSummary(*frame)  # which finds the source of a notebook's cell, here in the kernel


def check_names(members):
    """Raises LabError for what is no list of names; a text is a list of letters to Python."""
    if isinstance(members, str):
        raise LabError(f"members is a text: {members!r}.", "each letter would be a member", f"members=[{members!r}]")
    if not isinstance(members, Iterable):
        raise LabError(f"members is {members!r}.", "each member has a name", 'members=["anna", "ben"]')


def check_function(function):
    """Raises LabError for what cannot be called as function(me)."""
    if not callable(function):
        raise LabError(f"{function!r} is no function.", "", "actors.start(lab, billing, members=[...])")
    try:
        inspect.signature(function).bind("me")
    except TypeError as error:
        raise LabError(
            f"{getattr(function, '__name__', function)} cannot be called with me alone: {error}.",
            "each member calls the function with one argument, me",
            "def billing(me): ...; of a function that makes another one start the result: make(...), not make",
        ) from None


class Actors:
    """Processes that were started together.

    group: the full name of their consumer group; began: the start on their clock (time.monotonic()).
    Where names can be left out, all that run are meant. Raises LabError for names that do not run.
    """

    def __init__(self, lab, function, group):
        check_function(function)
        self.lab, self.function, self.link = lab, function, link()
        self.began, self.processes, self.reading = time.monotonic(), [], threading.Lock()
        name = lab.name(group or function.__name__)
        if name in _started:
            _started[name].kill()
        _started[name] = self
        lab.at_close.append(self.kill)
        self.group = lab.group(group) if group else None

    def add(self, *names, function=None):
        """Starts a process for each name: of the same function, or of another one."""
        function = function or self.function
        check_function(function)
        self._check_not_interrupted()
        for name in names:
            if any(process.name == name for process in self._running()):
                raise LabError(f"{name} runs already.", "", f"choose another name, or first: stop({name!r})")
            payload = packed(function, name, self.group, self.lab.client)
            path = str(self.link.folder / f"{time.monotonic_ns()}.jsonl")
            self.processes.append(Process(name, self.link.ask("start", path, payload, str(function.__module__)), path))

    def stop(self, *names):
        """Asks them to stop (SIGTERM) and waits: each handles the record at hand, leaves its group, and ends."""
        chosen = self._chosen(names)
        for process in chosen:
            if process.paused:
                raise LabError(f"{process.name} is paused, and cannot stop.", "", f"first: resume({process.name!r})")
        self._signal(chosen, signal.SIGTERM, "stopping")
        self._until_ended(chosen)

    def kill(self, *names):
        """kill -9 (SIGKILL); returns when they are gone. Nobody says goodbye to the group."""
        chosen = self._chosen(names)
        self._signal(chosen, signal.SIGKILL)
        self._until_ended(chosen)

    def pause(self, *names):
        """SIGSTOP: they stand still, heartbeats too, and do not know it."""
        self._signal(self._chosen(names), signal.SIGSTOP, "paused")

    def resume(self, *names):
        """SIGCONT: they go on where they stood."""
        self._signal(self._chosen(names), signal.SIGCONT, "resumed")

    def wait(self, assigned=None, member=None, deadline=DEADLINE, **events):
        """Waits until a condition holds, with member for this one alone. Raises LabError that says what is missing.

        assigned=6: those that run (and are not paused) have joined the same generation and own 6 partitions in total.
        handled=100, or any other event: it has happened 100 times since the start.
        """
        if member:
            self._chosen([member], ended=True)
        until = time.monotonic() + deadline
        while True:
            running = self._running()
            missing = self._missing(assigned, member, events)  # after it: the last one may have done it, and ended
            if not missing:
                return
            if not running or time.monotonic() > until:
                self._check_not_interrupted()
                coordinator, members = self._coordinator()
                raise LabError(
                    f"{f'Waited {deadline} s' if running else 'Nobody is left to wait for'}: {missing}.",
                    "; ".join([*(process.state() for process in self.processes), *coordinator]),
                    self._mend(running, members, events),
                )
            time.sleep(0.02)

    def _mend(self, running, members, events):
        """What mends a wait in vain for these events."""
        if not running:
            return ALL_GONE if {process.end for process in self.processes} & {"crashed", "returned"} else AGAIN
        if self.count("astray"):
            return ASTRAY
        if members and not self.count("joining"):
            return UNLOGGED
        seen = sorted(self._counted(None))
        never = [name for name in events if name not in seen]
        return f"there is no {never[0]} yet among {', '.join(seen)}; {LONGER}" if never else LONGER

    def count(self, event, member=None):
        """How often an event has happened since the start, with member to this one alone."""
        self._running()
        return self._counted(member)[event]

    def timeline(self):
        """What happened, as a DataFrame by time, one row an event.

        Columns: t (seconds since the start), member, event, topic, partitions (list of int), offset, detail (dict of
        whatever else is known). Events are: of the process started, paused, resumed, stopping, and at its end left (it
        was asked to stop), returned, crashed (it raised) or killed; of a consumer those that consumer_events.py lists,
        and handled; and what the function logs itself.
        """
        import pandas as pd  # here, because it takes a second or two that starting need not wait for

        self._running()
        rows = [
            {"partitions": [], **event, "t": event["t"] - self.began, "member": process.name}
            for process in self.processes
            for event in process.events
            if "text" not in event
        ]
        rows.sort(key=lambda row: row["t"])
        frame = pd.DataFrame([[row.pop(name, None) for name in COLUMNS] for row in rows], columns=COLUMNS)
        return frame.astype({"offset": "Int64"}).assign(detail=pd.Series(rows, dtype=object))

    def output(self, name):
        """All that the processes of this name have printed, with warnings and errors, as text."""
        chosen = self._chosen([name], ended=True)
        return "\n".join(event["text"] for process in chosen for event in process.events if "text" in event)

    def running(self):
        """The names of those that run, paused ones too."""
        return [process.name for process in self._running()]

    def _running(self):
        """The processes that run. Reads all logs first, and shows what is new of what was printed or raised."""
        lines = []
        with self.reading:  # several customers of the shop may ask at the same time
            for process in self.processes:
                for event in process.read():
                    if event["event"] in ("printed", "raised"):
                        lines += [f"{process.name} | {line}" for line in event["text"].splitlines()]
        hidden = [f"... and {len(lines) - MOST_SHOWN:,} lines more: output(name)"] if len(lines) > MOST_SHOWN else []
        for line in lines[:MOST_SHOWN] + hidden:
            print(line)
        running = [process for process in self.processes if not process.end]
        if self.link.guard.poll() is not None:  # it was killed, and those who were paused just then may not know
            for process in running:
                process.end = "killed"
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            return []
        return running

    def _chosen(self, names, ended=False):
        """The processes of these names that run, or without names all; with ended those too that ran once."""
        running, known = self._running(), {process.name: process for process in self.processes}
        there = self.processes if ended else running
        for name in names:
            if name not in [process.name for process in there]:
                self._check_not_interrupted()
                if name in known:
                    raise LabError(f"{name} does not run.", known[name].state(), f"add({name!r}) starts it; {TWICE}")
                there = f"there are {', '.join(known) or 'none'}"
                raise LabError(f"{name} does not run.", there, f"take one of these, or first: team.add({name!r})")
        return [process for process in there if not names or process.name in names]

    def _check_not_interrupted(self):
        """Raises LabError when the interrupt of a cell has ended members of this team."""
        if any(process.pid in self.link.interrupted for process in self.processes):
            raise LabError(ENDED, "a cell was interrupted, and nothing runs on after that", AGAIN)

    def _signal(self, processes, number, event=None):
        for process in processes:
            self.link.ask("signal", process.pid, number, event)

    def _until_ended(self, processes):
        until = time.monotonic() + ENDING
        while left := [process for process in processes if process in self._running()]:
            if time.monotonic() > until:
                raise LabError(
                    f"{left[0].name} was asked to end, and still runs after {ENDING} s.",
                    "me.records() looks between two records; a loop of your own must look at me.stopping",
                    f"kill({left[0].name!r})",
                )
            time.sleep(0.01)

    def _missing(self, assigned, member, events):
        """What a condition lacks, in words; "" when it holds."""
        active = [p for p in self._running() if not p.paused and member in (None, p.name)]
        missing, owned = [], sum(len(process.owned) for process in active)
        generations = {process.generation for process in active}
        if assigned is not None and owned != assigned:
            missing.append(f"{owned} of {assigned} partitions assigned")
        elif assigned is not None and (len(generations) > 1 or 0 in generations):
            missing.append("not all have joined the same generation")
        seen = self._counted(member)
        return ", ".join(missing + [f"{seen[name]} of {n} {name}" for name, n in events.items() if seen[name] < n])

    def _counted(self, member):
        return Counter(e["event"] for p in self.processes if member in (None, p.name) for e in p.events)

    def _coordinator(self):
        """What the coordinator says of the group, if there is one, in words, and the client ids of its members."""
        if not self.group:
            return [], []
        try:
            with KafkaAdminClient(**self.lab.client, bootstrap_timeout_ms=1500, request_timeout_ms=1500) as admin:
                group = admin.describe_groups([self.group])[self.group]
        except KafkaError as error:
            return [f"the coordinator does not answer ({type(error).__name__})"], []
        members = sorted(member["client_id"] for member in group["members"])
        return [f"the coordinator: {group['group_state']} with {', '.join(members) or 'nobody'}"], members

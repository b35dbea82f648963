"""The kernel's side of the guard: starting it, and asking it to do something."""

import itertools
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle
from IPython import get_ipython

from ..lab import LabError

DEADLINE = 4  # seconds for an answer of the guard
STARTING = 20  # seconds for its first one
ENDED = "All members of this notebook were ended."  # when a cell was interrupted
AGAIN = "Run again from the cell that started them (actors.start, shop.start) on."

_link = None


class Link:
    """A guard that runs, the folder of its members' logs, and whom it has ended because a cell was interrupted."""

    def __init__(self):
        self.interrupted = set()  # process ids
        ours, theirs = socket.socketpair()
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-course-actors-"))
        program = f"from helpers.actors.guard import main; main({theirs.fileno()}, {str(self.folder)!r})"
        null = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.DEVNULL)
        command = [sys.executable, "-c", program]
        with theirs:  # in a session of its own: Ctrl-C in the kernel's terminal is not for the members
            self.guard = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True, **null)
        self.connection, self.numbers = Connection(ours.detach()), itertools.count()

    def ask(self, *command, deadline=DEADLINE):
        """What the guard answers. Raises LabError when it does not."""
        number = next(self.numbers)
        try:
            self.connection.send((number, *command))
            while self.connection.poll(deadline):
                answered, answer = self.connection.recv()
                if answered == number:  # and not an earlier call that was interrupted
                    return answer
        except (EOFError, ConnectionError):
            self.guard.kill()
        raise LabError(
            "The process that starts and ends the members does not answer.",
            "it was killed, and its members with it" if self.guard.poll() else f"{deadline} s have passed",
            "run the cell with actors.start() again",
        )


def link():
    """The link to this kernel's guard; starts one if none runs. Raises LabError where there can be none."""
    global _link
    if not hasattr(os, "fork"):
        raise LabError(
            "Actors need Linux or macOS.",
            "their processes are copied (fork) and paused (SIGSTOP); Windows can do neither",
            "run the course in WSL, the Linux of Windows: wsl --install",
        )
    if _link is None or _link.guard.poll() is not None:
        if _link is None and get_ipython():
            get_ipython().events.register("post_run_cell", _end_if_interrupted)
        if _link:
            shutil.rmtree(_link.folder, ignore_errors=True)  # the guard that was killed could not
        _link = Link()
        _link.ask("reap", deadline=STARTING)  # answered when it has imported what it needs
    return _link


def _end_if_interrupted(result):
    """After a cell that was interrupted no member runs on, and one line says so."""
    if isinstance(result.error_in_exec, KeyboardInterrupt) and (ended := _link.ask("end")):
        _link.interrupted.update(ended)
        print(ENDED, AGAIN)


def packed(function, *about):
    """What a member needs, as bytes. Raises LabError for a function that cannot leave this process."""
    try:
        return pickle.dumps((*about, sys.path, cloudpickle.dumps(function)))
    except (TypeError, ValueError, AttributeError, RecursionError, pickle.PicklingError) as error:
        raise LabError(
            f"{function.__name__} cannot be sent to another process.",
            f"it uses something that lives in this notebook only ({error})",
            "make consumers and producers inside the function. There is no lab in it: use me.client and me.group in "
            "place of lab.client and lab.group(...), and names of topics from outside",
        ) from error

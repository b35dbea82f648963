"""Which ports a broker may have: those that no program has, and no other checkout keeps for a broker of its own."""

import getpass
import json
import socket
import tempfile
from pathlib import Path

import psutil

from .errors import LabError
from .places import home


def free_ports(first, count, skip=()):
    """The first free loopback ports from this one upwards."""
    found = []
    for port in range(first, first + 1000):
        if port not in skip and not taken(port):
            found.append(port)
        if len(found) == count:
            return found
    raise LabError(
        f"No free port between {first} and {first + 1000}.", "other programs listen on all of them", "end some"
    )


def taken(port):
    """Whether a program listens on this port of the loopback interface or of every interface, or it is kept."""
    if _is_kept(port):
        return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def keep(*ports):
    """Lets no other checkout take the ports of a broker that this process kills: its clients will look for it there."""
    me = psutil.Process()
    for port in ports:
        _keeper_file(port).write_text(json.dumps([str(home()), me.pid, me.create_time()]))


def release(*ports):
    """Ends what keep() has begun."""
    for port in ports:
        if _keeper(port)[0] == str(home()):
            _keeper_file(port).unlink(missing_ok=True)


def _is_kept(port):
    """Whether another checkout keeps this port, by a process that still runs."""
    owner, pid, started = _keeper(port)
    try:
        return owner not in (None, str(home())) and psutil.Process(pid).create_time() == started
    except psutil.NoSuchProcess:
        return False


def _keeper(port):
    """The home, the process id and its start time that keep() has written; None for each when nobody keeps the port."""
    try:
        owner, pid, started = json.loads(_keeper_file(port).read_text())
        return owner, pid, started
    except (FileNotFoundError, ValueError):
        return None, None, None


def _keeper_file(port):
    return Path(tempfile.gettempdir()) / f"kafka-course-{getpass.getuser()}-{port}.json"

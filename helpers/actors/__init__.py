"""Functions of a notebook as real processes, and what we do to them: start, stop, kill, pause, resume."""

import tempfile
from pathlib import Path

__all__ = ["folder", "start"]


def start(lab, function, members, group=None):
    """Runs function(me) as one process for each name in members, and returns them as Actors (processes.py).

        def billing(me):
            consumer = KafkaConsumer(orders, group_id=me.group, client_id=me.name, **me.client)
            for record in me.records(consumer):
                charge(record)

        team = actors.start(lab, billing, group="billing", members=["anna", "ben"])

    me is a Me (member.py). The consumer group begins without members and without offsets. What an earlier call has
    started for this group (without one: for this function) is killed. Raises LabError for what cannot run.
    """
    from .processes import Actors, check_names  # here: the guard imports this package, and needs neither pandas nor lab

    check_names(members)
    actors = Actors(lab, function, group)
    actors.add(*members)
    return actors


def folder():
    """Makes a folder for what processes write; returns its path. It is deleted when the kernel ends, however it does.

    Raises LabError where there can be no processes.
    """
    from .kernel_side import link

    return Path(tempfile.mkdtemp(dir=link().folder))

"""Where a service can be made to die, for chapters that show what happens then.

before_db_commit    all is written, and the transaction is still open; of sales-rank the Kafka transaction
after_db_commit     it is committed, the offsets are not; sales-rank commits both at once, and dies after that
after_ack           the relay has its acknowledgements, the outbox does not know it; sales-rank has no relay
before_answer       of the order API: the order is in the database, and the customer does not know it
"""

import os
import signal

POINTS = ("before_db_commit", "after_db_commit", "after_ack", "before_answer")


def crashes(settings):
    """The crashes that the settings ask for, as a list of dicts."""
    return settings.crash if isinstance(settings.crash, list) else [settings.crash] if settings.crash else []


def crash_here(settings, steps, point, rows):
    """kill -9 of this process, once in a run, if the settings ask for it at this point and for one of these records.

    rows: lines for the step log; settings.crash: a dict with service and point, maybe with order and type too, or a
    list of such dicts. The service is named as its module names itself: order, balance, sales-rank.
    """
    for number, wanted in enumerate(crashes(settings)):
        if (wanted["service"], wanted["point"]) != (steps.service, point):
            continue
        hit = [row for row in rows if all(wanted.get(what) in (None, row[what]) for what in ("order", "type"))]
        if hit and _first_time(settings.folder / f"crashed-{number}"):
            steps("crashed", [{**row, "point": point} for row in hit[:1]])
            os.kill(os.getpid(), signal.SIGKILL)


def to_come(settings, service):
    """Whether a crash of this service is asked for, and has not happened yet."""
    marked = [(wanted["service"], settings.folder / f"crashed-{n}") for n, wanted in enumerate(crashes(settings))]
    return any(name == service and not mark.exists() for name, mark in marked)


def _first_time(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

"""Where a service can be made to die, for chapters that show what happens then."""

import os
import signal

POINTS = ("before_db_commit", "after_db_commit", "after_ack")


def crash_here(settings, steps, point, rows):
    """kill -9 of this process, once in a run, if the settings ask for it at this point and for one of these records.

    rows: lines for the step log; settings.crash: a dict with service and point, maybe with order and type too.
    """
    wanted = settings.crash
    if not wanted or (wanted["service"], wanted["point"]) != (steps.service, point):
        return
    hit = [row for row in rows if all(wanted.get(what) in (None, row[what]) for what in ("order", "type"))]
    if hit and _first_time(settings.folder / "crashed"):
        steps("crashed", [{**row, "point": point} for row in hit[:1]])
        os.kill(os.getpid(), signal.SIGKILL)


def _first_time(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

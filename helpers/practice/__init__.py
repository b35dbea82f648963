"""Predict before the run, try an exercise, and have it checked against the broker.

    practice.task("flush", lab)              # shows the exercise and makes its topic afresh
    practice.check("flush", lab, send_all)   # looks at what the broker holds, and prints one outcome
    practice.hint("flush")                   # one more hint each time
    practice.solution("flush")

An outcome is printed, never raised. Raised is a LabError, for an id that does not exist and for a wrong call.
"""

from .predictions import predict, reveal
from .session import check, hint, progress, solution, task

__all__ = ["check", "hint", "predict", "progress", "reveal", "solution", "task"]

"""Calling a learner's function: whatever it raises becomes an outcome, and it may not run for ever."""

import builtins
import signal
import sysconfig
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

from .exercise import Outcome

LIMIT = 20  # seconds for a learner's function
NOT_THE_LEARNERS = [
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
]


class CodeRaised(Outcome):
    """The learner's code raised: the type and message of the error, and the learner's line."""

    def __init__(self, error):
        self.error = error
        self.kind = f"your code raised {type(error).__name__}"
        line = learners_line(error)
        super().__init__(("message", str(error)), line or ("", ""))


class OutOfTime(BaseException):
    """No Exception, so that a learner's `except Exception` does not swallow it."""


@contextmanager
def watched_hash():
    """Yields a list that gets each argument of Python's own hash() meanwhile, as far as this thread calls it."""
    hash, hashed, me = builtins.hash, [], threading.get_ident()

    def watched(value):
        if threading.get_ident() == me:  # a producer's own thread calls it too
            hashed.append(value)
        return hash(value)

    builtins.hash = watched
    try:
        yield hashed
    finally:
        builtins.hash = hash


def call(function, *arguments, seconds=LIMIT):
    """Returns what a learner's function returns; raises CodeRaised for whatever it raises."""
    try:
        with time_limit(seconds):
            return function(*arguments)
    except (Exception, SystemExit, OutOfTime) as error:
        raise CodeRaised(error) from error


@contextmanager
def time_limit(seconds):
    """Raises OutOfTime in the body after this time; without effect on Windows and outside the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise OutOfTime(f"it was still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def learners_line(error):
    """("line 3", the code) of the innermost line that the learner wrote; None if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_learners(frame.filename)]
    return (f"line {frames[-1].lineno}", frames[-1].line) if frames else None


def _is_learners(filename):
    path = Path(filename).resolve()
    return not filename.startswith("<frozen") and not any(path.is_relative_to(folder) for folder in NOT_THE_LEARNERS)


def untouched(answer):
    """Whether an answer is what the exercise began with: None, ..., or functions without a body."""
    if isinstance(answer, type):
        methods = [part for part in vars(answer).values() if isinstance(part, FunctionType)]
        return bool(methods) and all(untouched(method) for method in methods)
    if isinstance(answer, FunctionType):
        code = answer.__code__
        does_nothing = code.co_code in (_empty.__code__.co_code, _documented.__code__.co_code)
        return does_nothing and code.co_consts[-1] is None
    return answer is None or answer is ...


def _empty(): ...


def _documented():
    """Says something, does nothing."""

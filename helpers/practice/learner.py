"""Calling a learner's function: whatever it raises becomes an outcome, and it may not run for ever."""

import os
import pickle
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import cloudpickle

from .exercise import Outcome

LIMIT = 20  # seconds for a learner's function
NOT_THE_LEARNERS = [
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
]


class CodeRaised(Outcome):
    """The learner's code raised: the type and message of the error, the learner's line, and what to try."""

    def __init__(self, error, advice=""):
        self.error = error
        self.kind = f"your code raised {type(error).__name__}"
        line = learners_line(error)
        super().__init__(("message", str(error)), line or ("", ""), ("try", advice))


class OutOfTime(BaseException):
    """No Exception, so that a learner's `except Exception` does not swallow it."""


ELSEWHERE = """
import pickle, sys

answer, sys.stdout = sys.stdout.buffer, sys.stderr
sys.path[:], packed = pickle.load(sys.stdin.buffer)
function, arguments = pickle.loads(packed)
pickle.dump(function(*arguments), answer)
"""


def elsewhere(function, *arguments):
    """A function without arguments: what function(*arguments), as they are now, returns in a new Python process.

    There hash() of a text differs, and nothing is remembered that comes later. It returns None where it cannot be
    called, or raises: calling it here tells more.
    """
    try:
        packed = pickle.dumps((sys.path, packed_with_ours(function, arguments)))
    except (pickle.PicklingError, TypeError, AttributeError):
        return lambda: None
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    settings = {"capture_output": True, "timeout": LIMIT, "env": os.environ | {"PYTHONHASHSEED": seed}}

    def answer():
        try:
            return pickle.loads(
                subprocess.run([sys.executable, "-c", ELSEWHERE], input=packed, check=True, **settings).stdout
            )
        except subprocess.SubprocessError:
            return None

    return answer


def packed_with_ours(*things):
    """Pickled together with our own functions that they use: to import them would take a second and a half."""
    ours = sys.modules[__package__]
    cloudpickle.register_pickle_by_value(ours)
    try:
        return cloudpickle.dumps(things)
    finally:
        cloudpickle.unregister_pickle_by_value(ours)


def call(function, *arguments, seconds=LIMIT, advice=("", "")):
    """Returns what a learner's function returns; raises CodeRaised for whatever it raises.

    advice: a pattern, and what to try if it is found in the error's name or text.
    """
    try:
        with time_limit(seconds):
            return function(*arguments)
    except (Exception, SystemExit, OutOfTime) as error:
        pattern, text = advice
        raise CodeRaised(error, text if re.search(pattern, repr(error)) else "") from error


@contextmanager
def time_limit(seconds):
    """Raises OutOfTime in the body after this time; without effect on Windows and outside the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise OutOfTime(f"it was still running after {seconds} s: does it wait for what never comes?")

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

"""How far the learner has come: progress.json in the course's home folder, {exercise: outcome}."""

import json

from filelock import FileLock

from ..lab import broker
from .exercise import Correct, Incorrect
from .learner import CodeRaised


def path():
    """Where the file is."""
    return broker.places.home() / "progress.json"


def keep(id, outcome):
    """Notes an attempt; what was correct once stays correct. Says in one line when the file cannot be written."""
    if not isinstance(outcome, Correct | Incorrect | CodeRaised):
        return
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path().with_suffix(".lock"), timeout=2):
            kept = read()
            if kept.get(id) != Correct.kind:
                write({**kept, id: outcome.kind})
    except OSError as error:
        print(f"Your progress could not be noted in {path().name}: {error.strerror or type(error).__name__}.")


def read():
    """{exercise: outcome}; a file that cannot be understood is set aside, and one line says so."""
    try:
        kept = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        aside = path().replace(path().with_name("progress.damaged.json"))
        print(f"{path().name} was damaged. It is now {aside.name}, and your progress starts afresh.")
        return {}
    return kept


def write(kept):
    """Writes the file in one step."""
    partial = path().with_suffix(".partial")
    partial.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    partial.replace(path())

"""Guesses made before the run. They last as long as the kernel: Restart and Run All starts afresh."""

from copy import deepcopy

_guesses = {}
_revealed = set()


def predict(id, guess):
    """Keeps the first guess, and says so; a different one later does not change it. None and ... are no guess."""
    if guess is None or guess is ...:
        if id not in _guesses:
            print("No prediction made. Put yours into the cell, and run it before the next one.")
    elif id in _guesses:
        if not _same(_guesses[id], guess):
            print(f"Your prediction stays {_guesses[id]!r}: it was the first.")
    elif id in _revealed:
        print("The run has already shown it. After a restart of the kernel you can predict again.")
    else:
        _guesses[id] = deepcopy(guess)
        print(f"You predict {guess!r}. Now run it.")


def reveal(id, actual, why="A surprise shows which part of your picture of Kafka to draw anew."):
    """Sets the guess against what the run showed; why is the sentence for somebody who was surprised."""
    _revealed.add(id)
    if id not in _guesses:
        print(f"No prediction made. What happened: {actual!r}.")
    elif _same(_guesses[id], actual):
        print(f"You predicted {_guesses[id]!r}, and so it happened.")
    else:
        print(f"You predicted {_guesses[id]!r}. What happened: {actual!r}.\n{why}")


def _same(one, other):
    return _plain(one) == _plain(other)


def _plain(value):
    return str(value).strip().casefold()

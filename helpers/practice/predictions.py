"""Guesses made before the run. They last as long as the kernel: Restart and Run All starts afresh."""

from numbers import Number

_guesses = {}
_revealed = set()


def predict(id, guess, form):
    """Keeps the first guess, and says so; a different one later does not change it. None and ... are no guess.

    form is int for a whole number from 0 up, a range of whole numbers, or the list of the answers there are. A guess of
    another form is not kept.
    """
    if guess is None or guess is ...:
        if id not in _guesses:
            print("No prediction made. Put yours into the cell, and run it before the next one.")
    elif id in _guesses:
        first = ": it was the first" if not _same(_guesses[id], guess) else ""
        print(f"Your prediction stays {_guesses[id]!r}{first}.")
    elif id in _revealed:
        print("The run has already shown it. After a restart of the kernel you can predict again.")
    elif not fits(guess, form):
        print(f"{guess!r} is {_no_answer(form)} into the cell, and run it again.")
    else:
        _guesses[id] = guess
        print(f"{id}: you predict {guess!r}. Now run it.")


SURPRISE = "A surprise shows which part of your picture of Kafka to draw anew."


def reveal(id, actual, why="", about=0):
    """Sets the guess against what the run showed; why is the reason, which a lucky guess does not know either.

    A number that is off by at most about is no surprise.
    """
    _revealed.add(id)
    if id not in _guesses:
        print(f"No prediction made. What happened: {actual!r}.")
    elif _same(_guesses[id], actual):
        print(f"You predicted {_guesses[id]!r}, and so it happened. {why}".rstrip())
    elif _near(_guesses[id], actual, about):
        print(f"You predicted {_guesses[id]!r}, and it was near: {actual!r}. {why}".rstrip())
    else:
        print(f"You predicted {_guesses[id]!r}. What happened: {actual!r}.\n{why or SURPRISE}")


def fits(guess, form):
    """Whether a guess has the form of an answer: a whole number from 0 up for int, else one of the answers in form."""
    if form is int:
        number = _number(guess)
        return number is not None and number.is_integer() and number >= 0
    return any(_same(guess, answer) for answer in form)


def _no_answer(form):
    if form is int:
        return "no whole number from 0 up. Put one"
    if isinstance(form, range):
        return f"no whole number from {form[0]} to {form[-1]}. Put one"
    return f"none of {', '.join(map(repr, form))}. Put one of them"


def _same(one, other):
    return _plain(one) == _plain(other) or _near(one, other, 0)


def _near(one, other, about):
    """Whether both are numbers, and at most about apart: 0.0 is 0."""
    one, other = _number(one), _number(other)
    return None not in (one, other) and abs(one - other) <= about


def _number(value):
    """A number, or a text that is one, as float; None for anything else, True and False too."""
    try:
        return float(value) if isinstance(value, Number | str) and not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(value):
    return str(value).strip().casefold()

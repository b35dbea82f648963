"""What a check of the doctor says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One finding: whether all is well, what was seen, and the command that mends it when it is not."""

    ok: bool
    seen: str
    mend: str = ""
    name: str = ""

    def __str__(self):
        first = f"{'OK' if self.ok else 'FAIL':<4} {self.name:<24} {self.seen}"
        return first if self.ok else f"{first}\n     mend: {self.mend}"


def ok(seen):
    """A Row that says all is well."""
    return Row(True, seen)


def fail(seen, mend):
    """A Row that says what is wrong, and the command that mends it."""
    return Row(False, seen, mend)

"""One way to say what went wrong, and what mends it."""

import os
import sys
from pathlib import Path


class LabError(Exception):
    """What happened, why, and the command that mends it. A notebook shows the message, not a traceback."""

    def __init__(self, what, why="", mend=""):
        self.what, self.why, self.mend = what, why, mend
        lines = [what]
        if why:
            lines.append(f"  why:  {why}")
        if mend:
            lines.append(f"  mend: {mend}")
        super().__init__("\n".join(lines))

    def _render_traceback_(self):
        """IPython asks an exception for this before it prints a traceback."""
        return [f"{type(self).__name__}: {self}"]


def python():
    """This Python as a command, so that a mend works without an activated environment."""
    program = Path(sys.executable)
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)


def course(command):
    """A command of python -m helpers.broker, for a mend."""
    return f"{python()} -m helpers.broker {command}"

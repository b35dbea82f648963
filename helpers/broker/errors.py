"""One way to say what went wrong."""


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

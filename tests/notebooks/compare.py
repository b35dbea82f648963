"""What a fresh run of a notebook shows other than its committed outputs: in order, and picture by picture.

nbval cannot see pictures, the order of outputs, or that a kernel has died. Pictures are compared pixel by
pixel, which holds only with the locked versions of Python, matplotlib and the fonts.
"""

import base64
import hashlib
import io
import json
from itertools import zip_longest

from PIL import Image

from tests.notebooks.execute import UNCOMPARED_TAGS, label, tags

SHOWN_CHARACTERS = 70


def differences(committed, fresh):
    """One sentence for each cell whose committed outputs are not those of the fresh run."""
    found = []
    for number, (old, new) in enumerate(zip(committed.cells, fresh.cells, strict=True), 1):
        if old.cell_type == "code" and not tags(old) & UNCOMPARED_TAGS:
            found += [f"{label(number, old)}: {what}" for what in cell_differences(old, new)]
    return found


def cell_differences(old, new):
    """What is wrong with one cell: at most one sentence about its error, and one about its outputs."""
    if "raises-exception" in tags(new) and not any(o.output_type == "error" for o in new.outputs):
        yield "tagged raises-exception, but it did not raise"
    for committed, now in zip_longest(lines_of(old), lines_of(new), fillvalue="nothing"):
        if committed != now:
            yield f"\n  committed {shorten(committed, now)}\n  now       {shorten(now, committed)}"
            return


def lines_of(cell):
    """Everything a cell shows, as lines of text; a picture is one line."""
    return [line for output in cell.outputs for line in output_lines(output)]


def output_lines(output):
    """The lines of one output, each with its kind in front."""
    if output.output_type == "stream":
        return [f"{output.name}: {line}" for line in output.text.replace("\r\n", "\n").split("\n")]
    if output.output_type == "error":
        return [f"error: {line}" for line in f"{output.ename}: {output.evalue}".split("\n")]
    shown = [line for mime in sorted(output.data) for line in data_lines(mime, output.data[mime])]
    return [f"{output.output_type} {line}" for line in shown]


def data_lines(mime, data):
    """The lines of one representation of an output."""
    if mime == "image/png":
        return [f"{mime}: {picture(data)}"]
    text = data if isinstance(data, str) else json.dumps(data, sort_keys=True)
    return [f"{mime}: {line}" for line in text.split("\n")]


def picture(data):
    """The size of a picture and a short fingerprint of its pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return f"{image.width}x{image.height} pixels {hashlib.sha256(image.tobytes()).hexdigest()[:8]}"


def shorten(text, other):
    """A line cut to a readable length, around the first place where it differs from another."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, same - SHOWN_CHARACTERS // 2)
    cut = text[start : start + SHOWN_CHARACTERS]
    return f"{'…' * (start > 0)}{cut}{'…' * (start + SHOWN_CHARACTERS < len(text))}"

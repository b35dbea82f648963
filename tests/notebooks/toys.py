"""Small notebooks that the proofs break on purpose."""

import base64
import io

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from tests.notebooks.execute import METADATA

SHOW_SQUARE = """\
import io
from IPython.display import Image as Shown, display
from PIL import Image
square = io.BytesIO()
Image.new("RGB", (8, 8), "{colour}").save(square, "PNG")
display(Shown(square.getvalue()))
print("a {colour} square")"""


def notebook(*cells):
    """A notebook of these cells; a plain string becomes a code cell."""
    cells = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=cells, metadata=METADATA)


def tagged(cell, *tags):
    """The cell, with these tags."""
    cell.metadata["tags"] = list(tags)
    return cell


def markdown(source, *tags):
    """A markdown cell with these tags."""
    return tagged(new_markdown_cell(source), *tags)


def code(source, *tags):
    """A code cell with these tags."""
    return tagged(new_code_cell(source), *tags)


def png(colour):
    """A square of that colour as notebooks store it."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def save(nb, path):
    """Writes the notebook to the file and returns the file's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path

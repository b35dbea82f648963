"""The rules of a notebook that can be seen without running it.

Every function in RULES takes a Lesson and yields one sentence for each place that breaks its rule.
"""

import ast
import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest
from pathlib import Path
from urllib.parse import unquote

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from helpers.practice import session
from helpers.practice.predictions import fits
from tests.notebooks import navigation
from tests.notebooks.execute import NOTEBOOKS, UNCOMPARED_TAGS, label, read, tags
from tests.notebooks.markdown import read_markdown

KNOWN_TAGS = {
    "raises-exception",
    "nbval-ignore-output",
    "nbval-skip",
    "setup",
    "exercise",
    "navigation",
    "hide-input",
}
FILE_NAME = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")
OPENING_LABELS = ["**You will be able to**", "**Time**", "**Before this**"]
CLOSING_HEADINGS = ["Recap", "Exercises", "Where next"]
WITHOUT_EXERCISES = {"00_start_here.ipynb"}
MOST_CODE_LINES = 15
FEWEST_WORDS, MOST_WORDS = 8, 120
MOST_OUTPUT_BYTES = 500_000
CHANGING_OUTPUTS = {
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}"),
    "a kernel's temporary file": re.compile(r"/tmp/ipykernel_"),
    "an absolute path": re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|var/folders)/(?!ipykernel_)"),
    "a timestamp": re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d|(?<!\d)1\d{12}(?!\d)"),
    "a port chosen by chance": re.compile(r"(?:localhost|127\.0\.0\.1):(?:3[2-9]|4\d|5\d|6[0-5])\d{3}\b"),
}
FORBIDDEN_CODE = {
    "an nbval comment, use a tag": re.compile(r"^\s*#\s*NBVAL_\w+", re.MULTILINE),
    "an output that nbval cannot compare": re.compile(r"\b(?:clear_output|update_display)\b|@interact\b"),
}
HAPPENED = re.compile(r"^No prediction made\. What happened: (.*)\.$", re.MULTILINE)
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


@dataclass
class Lesson:
    """A notebook, the name of its file and the folder that its links start from."""

    nb: NotebookNode
    name: str
    folder: Path

    @cached_property
    def pages(self):
        """(label, cell, Page) of every markdown cell."""
        return [
            (label(number, cell), cell, read_markdown(cell.source))
            for number, cell in enumerate(self.nb.cells, 1)
            if cell.cell_type == "markdown"
        ]

    @cached_property
    def code(self):
        """(label, cell) of every code cell."""
        numbered = enumerate(self.nb.cells, 1)
        return [(label(number, cell), cell) for number, cell in numbered if cell.cell_type == "code"]

    @property
    def outputs(self):
        """(label, cell, output) of every output."""
        return [(where, cell, output) for where, cell in self.code for output in cell.outputs]

    def headings(self, level):
        """The texts of all headings of a level, in order."""
        return [text for *_, page in self.pages for found, text in page.headings if found == level]


def file_name(lesson):
    """The file is named NN_topic.ipynb."""
    if not FILE_NAME.fullmatch(lesson.name):
        yield "the file name is not like 03_topics.ipynb"


def title(lesson):
    """The first cell holds the only level 1 heading, and the file's number is not in it."""
    first_page = read_markdown(lesson.nb.cells[0].source)
    if lesson.nb.cells[0].cell_type != "markdown" or 1 not in [level for level, _ in first_page.headings]:
        yield "the first cell is not markdown with a level 1 heading"
    titles = lesson.headings(1)
    if len(titles) > 1:
        yield f"more than one level 1 heading: {titles}"
    number = re.match(r"\d+", lesson.name)
    if number and any(re.search(rf"\b0*{int(number.group())}\b", text) for text in titles):
        yield f"the title holds the file's number: {titles}"


def opening(lesson):
    """The first cell says what the learner will be able to do, how long it takes and what comes before."""
    lines = [line for line in lesson.nb.cells[0].source.split("\n") if line.strip()]
    starts = [text for line in lines for text in OPENING_LABELS if line.startswith(text)]
    if starts != OPENING_LABELS:
        yield f"the first cell needs lines that start with {', '.join(OPENING_LABELS)}, in this order"
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        if line.startswith(OPENING_LABELS[0]) and not following.startswith(("- ", "* ")):
            yield f"no list after {OPENING_LABELS[0]}"


def closing(lesson):
    """The last sections are the recap, the exercises and where next."""
    exempt = {"Exercises"} if lesson.name in WITHOUT_EXERCISES else set()
    expected = [heading for heading in CLOSING_HEADINGS if heading not in exempt]
    if [text for text in lesson.headings(2) if text not in exempt][-len(expected) :] != expected:
        yield f"the last level 2 headings are not {', '.join(expected)}"


def setup(lesson):
    """A cell tagged setup opens the lab."""
    if not any("setup" in tags(cell) and "open_lab(" in cell.source for _, cell in lesson.code):
        yield "no cell tagged setup that calls open_lab"


def navigation_cell(lesson):
    """The last cell is what `python -m tests.notebooks.navigation` writes."""
    last = lesson.nb.cells[-1]
    if "navigation" not in tags(last) or last.source != navigation.links(lesson.name, lesson.folder):
        yield "the last cell is not this notebook's navigation: run python -m tests.notebooks.navigation"


def code_length(lesson):
    """A code cell is short."""
    for where, cell in lesson.code:
        lines = len(cell.source.split("\n"))
        if lines > MOST_CODE_LINES:
            yield f"{where}: {lines} lines of code (at most {MOST_CODE_LINES})"


def words_before_code(lesson):
    """A markdown cell of some sentences stands directly before every code cell."""
    for number, cell in enumerate(lesson.nb.cells, 1):
        if cell.cell_type != "code":
            continue
        before = lesson.nb.cells[number - 2] if number > 1 else cell
        words = len(read_markdown(before.source).prose.split())
        if before.cell_type != "markdown":
            yield f"{label(number, cell)}: no markdown cell directly before"
        elif not FEWEST_WORDS <= words <= MOST_WORDS:
            yield f"{label(number, cell)}: {words} words before it ({FEWEST_WORDS} to {MOST_WORDS})"


def counts(lesson):
    """The code cells were executed once each, in order."""
    found = [cell.execution_count for _, cell in lesson.code]
    if found != list(range(1, len(found) + 1)):
        yield f"the code cells were not executed 1..{len(found)} in order"


def errors(lesson):
    """A cell ends in an error if and only if it is tagged raises-exception."""
    for where, cell in lesson.code:
        raised = any(output.output_type == "error" for output in cell.outputs)
        tagged = "raises-exception" in tags(cell)
        if raised and not tagged:
            yield f"{where}: an error output, but no tag raises-exception"
        if tagged and not raised:
            yield f"{where}: tagged raises-exception, but no error output"


def known_tags(lesson):
    """Every tag is one of ours: nbval ignores a misspelt one silently."""
    for number, cell in enumerate(lesson.nb.cells, 1):
        if unknown := tags(cell) - KNOWN_TAGS:
            yield f"{label(number, cell)}: unknown tags {sorted(unknown)}"


def ids(lesson):
    """Every cell has an id of its own."""
    found = [cell.get("id") for cell in lesson.nb.cells]
    if None in found or len(set(found)) < len(found):
        yield "a cell without an id, or two cells with the same"


def forbidden_code(lesson):
    """No code that nbval cannot test."""
    for where, cell in lesson.code:
        for what, pattern in FORBIDDEN_CODE.items():
            if found := pattern.search(cell.source):
                yield f"{where}: {found.group().strip()!r}: {what}"


def sleeps(lesson):
    """No cell sleeps; a function that plays slow work may."""
    for where, cell in lesson.code:
        if any(name in {"time.sleep", "sleep"} for name, _ in calls(syntax_tree(cell), inside_functions=False)):
            yield f"{where}: time.sleep in a cell: wait for a condition, with a deadline"


def subprocesses(lesson):
    """What a subprocess prints is captured, and so shown in its place."""
    for where, cell in lesson.code:
        for name, call in calls(syntax_tree(cell)):
            if name.startswith("subprocess.") and "capture_output" not in [word.arg for word in call.keywords]:
                yield f"{where}: {name} without capture_output=True"


def predictions(lesson):
    """Each prediction is set against what happened, and that is an answer which a learner could have given."""
    forms, happened = {}, {}
    for _, cell in lesson.code:
        named = [(name, call) for name, call in calls(syntax_tree(cell)) if name.startswith("practice.")]
        forms |= {call.args[0].value: ast.unparse(call.args[2]) for name, call in named if name == "practice.predict"}
        shown = HAPPENED.findall("\n".join(output_text(output) for output in cell.outputs))
        happened |= zip_longest([call.args[0].value for name, call in named if name == "practice.reveal"], shown)
    for id in sorted(forms.keys() ^ happened.keys(), key=str):
        yield f"{id} is predicted or revealed, and not both"
    for id in forms.keys() & happened.keys():
        if not fits(str(happened[id]).strip("'"), eval(forms[id], {"int": int, "range": range})):
            yield f"{id}: {happened[id]} is no answer that {forms[id]} allows"


def exercise_topics(lesson):
    """The cell after an exercise's task sets the exercise's own topic, whichever exercise ran before it."""
    cells = [(where, cell) for where, cell in lesson.code]
    for (_, cell), (where, learners) in pairwise(cells):
        for name, call in calls(syntax_tree(cell)):
            if name == "practice.task":
                line = session.find(call.args[0].value).first_line
                if not learners.source.startswith(line):
                    yield f"{where}: does not begin with {line.strip()}"


def syntax_tree(cell):
    """The cell's code as a syntax tree; an empty one if it is not Python."""
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        return ast.parse("")


def calls(tree, inside_functions=True):
    """(dotted name, call) of every call in a syntax tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from calls(node, inside_functions)


def changing_outputs(lesson):
    """No compared output holds what differs from run to run or from machine to machine."""
    for where, cell, output in lesson.outputs:
        if tags(cell) & UNCOMPARED_TAGS:
            continue
        for what, pattern in CHANGING_OUTPUTS.items():
            if found := pattern.search(output_text(output)):
                yield f"{where}: {what} in the output: {found.group()!r}"


def output_text(output):
    """All text that an output shows, without colours."""
    if output.output_type == "stream":
        parts = [output.text]
    elif output.output_type == "error":
        parts = [output.evalue, *output.traceback]
    else:
        parts = [str(data) for mime, data in output.data.items() if not mime.startswith("image/")]
    return COLOUR_CODE.sub("", "\n".join(parts))


def svg_outputs(lesson):
    """No SVG output: JupyterLab hides it until the learner trusts the notebook."""
    for where, _, output in lesson.outputs:
        if "image/svg+xml" in output.get("data", {}):
            yield f"{where}: an SVG output, show a PNG"


def figure_text(lesson):
    """A line of text follows every figure, for those who cannot see it."""
    for where, cell in lesson.code:
        for output, following in zip_longest(cell.outputs, cell.outputs[1:], fillvalue={}):
            if "image/png" in output.get("data", {}) and not is_text(following):
                yield f"{where}: no line of text after the figure"


def is_text(output):
    """Whether an output is words rather than a picture."""
    data = output.get("data", {})
    return "text" in output or ("text/plain" in data and "image/png" not in data)


def output_size(lesson):
    """The outputs of a cell are small enough to load and to review."""
    for where, cell in lesson.code:
        size = len(json.dumps(cell.outputs))
        if size > MOST_OUTPUT_BYTES:
            yield f"{where}: {size} bytes of output (at most {MOST_OUTPUT_BYTES})"


def markdown_that_shows(lesson):
    """Markdown uses only what JupyterLab renders."""
    for where, _, page in lesson.pages:
        if "svg" in page.html_tags:
            yield f"{where}: <svg> in markdown is not shown, link a file in assets/"
        if re.search(r"\[!\w+\]", page.prose):
            yield f"{where}: [!NOTE] is shown as a plain quote"


def links(lesson):
    """Every file and heading that a link names exists."""
    for where, _, page in lesson.pages:
        for link in page.links:
            if not ELSEWHERE.match(link) and not link_exists(link, lesson):
                yield f"{where}: the link {link!r} leads nowhere"


def link_exists(link, lesson):
    """Whether a relative link leads to a file, and its #anchor to a heading of that notebook."""
    target, _, anchor = (unquote(part) for part in link.partition("#"))
    path = lesson.folder / target
    if target and not path.exists():
        return False
    if not anchor or (target and path.suffix != ".ipynb"):
        return True
    pages = Lesson(read(path), target, path.parent).pages if target else lesson.pages
    return any(anchor in page.anchors for *_, page in pages)


def images(lesson):
    """Every image is a file of the course or an attachment, and has an alt text."""
    for where, cell, page in lesson.pages:
        for source, alt in page.images:
            if not alt.strip():
                yield f"{where}: the image {source[:60]!r} has no alt text"
            if not image_exists(source, cell, lesson):
                yield f"{where}: the image {source[:60]!r} is not a file of the course"


def image_exists(source, cell, lesson):
    """Whether JupyterLab finds the image without a network."""
    if source.startswith("attachment:"):
        return unquote(source.removeprefix("attachment:")) in cell.get("attachments", {})
    return source.startswith("data:") or (lesson.folder / unquote(source)).is_file()


RULES = [
    file_name,
    title,
    opening,
    closing,
    setup,
    navigation_cell,
    code_length,
    words_before_code,
    counts,
    errors,
    known_tags,
    ids,
    forbidden_code,
    sleeps,
    subprocesses,
    predictions,
    exercise_topics,
    changing_outputs,
    svg_outputs,
    figure_text,
    output_size,
    markdown_that_shows,
    links,
    images,
]


def findings(nb, name, folder=NOTEBOOKS):
    """One sentence for each place where the notebook breaks a rule."""
    if not nb.cells:
        return [f"{name}: the notebook is empty"]
    lesson = Lesson(nb, name, folder)
    return [f"{name}: {finding}" for rule in RULES for finding in rule(lesson)]

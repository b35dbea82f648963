"""Every notebook runs in a real JupyterLab in a real browser, as a learner runs it, and shows what is committed."""

from pathlib import Path

import pytest

from tests.browser.killed import killed_in_its_middle
from tests.browser.lab import copy_course, running_lab
from tests.browser.page import chromium, opened, running_browser
from tests.notebooks.compare import differences
from tests.notebooks.execute import main as rebuild
from tests.notebooks.execute import normalise, notebook_paths, read
from tests.notebooks.toys import SHOW_SQUARE, code, markdown, notebook, png, save

SHOTS = Path(__file__).parent / "shots"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One JupyterLab for all tests, on a copy of the course.

    nbval runs every notebook on the default version of Kafka, so this is the run on the other.
    """
    root = copy_course(tmp_path_factory.mktemp("course"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_VERSION", "4.3.1")
        with running_lab(root, tmp_path_factory.mktemp("lab")) as running:
            yield running


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests; without one they fail and say how to install it."""
    try:
        chromium()
    except FileNotFoundError as missing:
        pytest.fail(str(missing))
    with running_browser() as running:
        yield running


def test_there_are_notebooks():
    assert notebook_paths(), "notebooks/ holds no notebook"


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_notebook_runs_in_jupyterlab(browser, lab, path):
    with opened(browser, lab, f"notebooks/{path.name}") as page:
        page.run_all()
        found = page.problems() + differences(read(path), normalise(page.notebook()))
        page.picture(SHOTS / f"{path.stem}.png")
    assert not found, "\n".join(["", *found])


MERMAID = "```mermaid\nsequenceDiagram\n  Producer->>Broker: record\n```"
SQUARE = f"![a square](data:image/png;base64,{png('red')})"
RUN_BEFORE = code("1 + 1")
RUN_BEFORE.execution_count = 2

TOYS = {
    "good": ([markdown(f"{MERMAID}\n\n{SQUARE}"), "1 + 1", code("1 / 0", "raises-exception"), "2 + 2"], []),
    "error": (["1 / 0"], ["raised ZeroDivisionError"]),
    "cell not run": (["1 / 0", RUN_BEFORE], ["cell 1 raised", "cell 2 was never run"]),
    "missing image": ([markdown("![a broker](none.png)"), "1 + 1"], ["a broken image: a broker"]),
    "broken mermaid": ([markdown(MERMAID.replace("->>", "~>")), "1 + 1"], ["a broken mermaid drawing"]),
    "image elsewhere": (
        [markdown("![a broker](https://example.org/broker.png)"), "1 + 1"],
        ["a broken image: a broker", "a request to another machine: https://example.org/broker.png"],
    ),
}


@pytest.mark.parametrize("name", TOYS)
def test_what_is_wrong_is_seen(browser, lab, tmp_path, name):
    cells, expected = TOYS[name]
    file = save(notebook(*cells), lab.root / "toys" / f"{name.replace(' ', '_')}.ipynb")
    before = file.read_bytes()
    with opened(browser, lab, f"toys/{file.name}") as page:
        page.run_all()
        found = page.problems()
        page.picture(tmp_path / "shot.png")
    assert len(found) == len(expected), found
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True)), found
    assert (tmp_path / "shot.png").stat().st_size > 10_000
    assert file.read_bytes() == before, "JupyterLab saved the notebook"


@pytest.mark.parametrize(("colour", "sees"), [("red", 0), ("white", 1)])
def test_another_picture_than_the_committed_one_is_seen(browser, lab, colour, sees):
    cells = [markdown("Two cells."), code("id(object())", "nbval-ignore-output")]
    file = save(notebook(SHOW_SQUARE.format(colour="red"), *cells), lab.root / "toys" / "square.ipynb")
    assert rebuild([str(file)]) == 0
    committed = read(file)
    save(notebook(SHOW_SQUARE.format(colour=colour).replace(f"a {colour}", "a red"), *cells), file)
    with opened(browser, lab, "toys/square.ipynb") as page:
        page.run_all()
        found = differences(committed, normalise(page.notebook()))
    assert len(found) == sees, found
    assert all("pixels" in sentence for sentence in found)


@pytest.mark.parametrize(("mode", "sees"), [("w", []), ("x", ["cell 1 raised FileExistsError"])])
def test_what_a_killed_kernel_leaves_behind_is_seen(browser, lab, tmp_path, mode, sees):
    first = f"print(open({str(tmp_path / 'left')!r}, {mode!r}).write('something'))"
    name = f"killed_{mode}.ipynb"
    file = save(notebook(first, "import time", "time.sleep(1)", "1 + 1"), lab.root / "toys" / name)
    assert rebuild([str(file)]) == 0
    (tmp_path / "left").unlink()
    found = killed_in_its_middle(browser, lab, f"toys/{name}", read(file))
    assert bool(found) == bool(sees), found
    assert all(part in found[0] for part in sees), found


def test_missing_chromium_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="apt-get install -y chromium"):
        chromium()

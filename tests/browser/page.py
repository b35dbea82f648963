"""A notebook in JupyterLab in Chromium: open it, run it as a person does, see what is wrong, picture it."""

import json
import re
import shutil
from contextlib import contextmanager

import nbformat
from playwright.sync_api import TimeoutError as TooLong
from playwright.sync_api import sync_playwright

OPEN_TIMEOUT_MS = 60_000
RUN_TIMEOUT_MS = 300_000
DRAW_TIMEOUT_MS = 10_000
POLL_MS = 200  # looking at each frame, Chromium works more than the kernel
WIDTH, HEIGHT, TALLEST = 1400, 1000, 16_000
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
]
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"

IS_READY = "() => window.jupyterapp?.restored.then(() => true)"
OPEN = "path => window.jupyterapp.commands.execute('docmanager:open', { path, factory: 'Notebook' }).then(() => {})"
CLOSE = "() => { window.quietSince = undefined; window.jupyterapp.shell.currentWidget.dispose(); }"
# The indicator shows "idle" before there is a kernel, and Run All would then ask which kernel to take.
KERNEL_IS_IDLE = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
# After an error the later cells go back from [*] to [ ]: the run is over when no [*] was seen for a second.
RUN_IS_OVER = """() => {
    const widget = window.jupyterapp.shell.currentWidget;
    const prompts = [...widget.node.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    const waiting = prompts.some(prompt => prompt.textContent.includes('*'));
    const quiet = !waiting && widget.sessionContext.session.kernel.status === 'idle';
    window.quietSince = quiet ? window.quietSince ?? Date.now() : undefined;
    return quiet && Date.now() - window.quietSince > 1000;
}"""
IMAGES_ARE_COMPLETE = f"() => [...document.querySelectorAll('{PANEL} img')].every(image => image.complete)"
BROKEN_IMAGES = f"""() => [...document.querySelectorAll('{PANEL} img')]
    .filter(image => image.naturalWidth === 0).map(image => image.alt || image.src)"""
MERMAID_IS_DRAWN = f"expected => document.querySelectorAll('{PANEL} .jp-RenderedMermaid').length >= expected"
# Tracebacks look like stderr in the page: only the model tells them apart.
MODEL = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON()"
CONTENT_HEIGHT = f"() => document.querySelector('{PANEL} .jp-WindowedPanel-outer').scrollHeight"
SCROLL_TO_TOP = f"() => document.querySelectorAll('{PANEL} *').forEach(e => e.scrollTop = 0)"
INSTALL_CHROMIUM = """\
There is no Chromium on the PATH. On Debian or Ubuntu this installs it:
  sudo apt-get update && sudo apt-get install -y chromium"""


def chromium():
    """The path of Chromium or Chrome. Raises FileNotFoundError, which says how to install it."""
    found = [path for path in map(shutil.which, CHROMIUM_NAMES) if path]
    if not found:
        raise FileNotFoundError(INSTALL_CHROMIUM)
    return found[0]


@contextmanager
def running_browser():
    """A Chromium without a window; closed at the end. Raises FileNotFoundError if none is installed.

    Its page stays open from one notebook to the next: to load JupyterLab takes seconds each time.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        try:
            yield browser.new_context(locale="en-GB")
        finally:
            browser.close()


class NotebookPage:
    """One notebook, open in JupyterLab; requests to another machine fail, and are remembered."""

    def __init__(self, page, lab):
        self.page = page
        self.lab = lab
        self.offsite = set()

    def open(self, path):
        """Opens a notebook of the Lab's folder and waits for its kernel."""
        self.page.on("request", self.remember)
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        if not self.page.url.startswith(self.lab.address):
            self.page.goto(self.lab.link("lab"), wait_until="domcontentloaded")
            self.page.wait_for_function(IS_READY, timeout=OPEN_TIMEOUT_MS)
        self.page.evaluate(OPEN, path)
        self.page.locator(f"{PANEL} .jp-Cell").first.wait_for(timeout=OPEN_TIMEOUT_MS)
        self.page.wait_for_function(KERNEL_IS_IDLE, polling=POLL_MS, timeout=OPEN_TIMEOUT_MS)

    def close(self):
        """Closes the notebook without saving it; JupyterLab stays open."""
        self.page.remove_listener("request", self.remember)
        self.page.evaluate(CLOSE)

    def remember(self, request):
        """Notes a request that does not go to the Lab."""
        if not request.url.startswith((self.lab.address, "data:", "blob:")):
            self.offsite.add(request.url)

    def run_all(self):
        """Clears the committed outputs, runs all cells by the menu and waits until the run is over."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")
        self.page.wait_for_function(RUN_IS_OVER, polling=POLL_MS, timeout=RUN_TIMEOUT_MS)

    def choose(self, menu, entry):
        """Clicks an entry of a menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def problems(self):
        """One sentence for everything that is wrong with what a person sees now."""
        cells = self.page.evaluate(MODEL)["cells"]
        return [
            *cell_problems(cells),
            *self.mermaid_problems(cells),
            *self.image_problems(),
            *[f"a request to another machine: {url}" for url in sorted(self.offsite)],
        ]

    def notebook(self):
        """The notebook as it is now, with its outputs; nothing is saved."""
        model = self.page.evaluate(MODEL)
        model["cells"] = [
            {k: v for k, v in cell.items() if v is not None or k != "attachments"} for cell in model["cells"]
        ]
        return nbformat.reads(json.dumps(model), as_version=4)

    def mermaid_problems(self, cells):
        """Sentences about drawings in mermaid that are broken or missing."""
        sources = [text(cell) for cell in cells if cell["cell_type"] == "markdown"]
        expected = sum(len(re.findall(r"^\s*```mermaid", source, re.MULTILINE)) for source in sources)
        try:
            self.page.wait_for_function(MERMAID_IS_DRAWN, arg=expected, timeout=DRAW_TIMEOUT_MS)
        except TooLong:
            return ["a mermaid drawing is not shown"]
        warnings = self.page.locator(f"{PANEL} .jp-RenderedMermaid.jp-mod-warning")
        return [f"a broken mermaid drawing: {warning[:80]!r}" for warning in warnings.all_inner_texts()]

    def image_problems(self):
        """Sentences about images that are not shown."""
        try:
            self.page.wait_for_function(IMAGES_ARE_COMPLETE, timeout=DRAW_TIMEOUT_MS)
        except TooLong:
            return ["an image is still loading"]
        return [f"a broken image: {name[:80]}" for name in self.page.evaluate(BROKEN_IMAGES)]

    def picture(self, png):
        """Writes one tall picture of the whole notebook to a file."""
        png.parent.mkdir(parents=True, exist_ok=True)
        height = self.page.evaluate(CONTENT_HEIGHT) + 180
        self.page.set_viewport_size({"width": WIDTH, "height": min(height, TALLEST)})
        self.page.evaluate(SCROLL_TO_TOP)
        self.page.screenshot(path=png)


@contextmanager
def opened(browser, lab, path):
    """A NotebookPage of a notebook in the Lab's folder; its kernel is shut down at the end.

    After an error the next notebook gets a page of its own.
    """
    shown = NotebookPage(browser.pages[0] if browser.pages else browser.new_page(), lab)
    try:
        shown.open(path)
        yield shown
        shown.close()
    except BaseException:
        shown.page.close()
        raise
    finally:
        lab.shut_down_kernels()


def text(cell):
    """The source of a cell as one string."""
    return "".join(cell["source"])


def cell_problems(cells):
    """Sentences about cells that raised without being meant to, or that were never run."""
    for number, cell in enumerate(cells, 1):
        if cell["cell_type"] != "code":
            continue
        if text(cell).strip() and not cell["execution_count"]:
            yield f"cell {number} was never run"
        for output in cell["outputs"]:
            if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
                yield f"cell {number} raised {output['ename']}: {output['evalue'][:2000]}"

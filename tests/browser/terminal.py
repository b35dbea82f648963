"""Take the picture of Kafka's command line tools in a real terminal: JupyterLab's, in a real browser.

python -m tests.browser.terminal [assets/002-kafka-setting.png]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from helpers import broker
from tests.browser.lab import DARK, running_lab
from tests.browser.page import running_browser

PICTURE = Path(__file__).parents[2] / "assets" / "002-kafka-setting.png"
PROMPT = "learner@kafka:~$ "
WHERE = "--bootstrap-server 127.0.0.1:9092"
TIMEOUT_MS = 60_000

# What is typed, and what the screen must show before the next thing is typed.
SESSION = [
    (f"kafka-topics --create --topic test-topic {WHERE} \\\n  --partitions 1 --replication-factor 1", PROMPT),
    (f"kafka-console-producer --topic test-topic {WHERE}", ">"),
    ("hello kafka", ">"),
    (None, PROMPT),  # Ctrl-D: no more lines
    (f"kafka-console-consumer --topic test-topic {WHERE} --from-beginning --max-messages 1", PROMPT),
    (f"kafka-topics --delete --topic test-topic {WHERE}", PROMPT),
]

OPEN = "() => { window.jupyterapp.commands.execute('terminal:create-new') }"
SCREEN = "window.jupyterapp.shell.currentWidget?.content?._term?.buffer.active"
LINES = f"""() => [...Array({SCREEN}?.length ?? 0).keys()]
    .map(i => {SCREEN}.getLine(i).translateToString(true)).filter(line => line.trim())"""
ROWS = "() => window.jupyterapp.shell.currentWidget.content._term.rows"
LAST_LINE_IS = f"""([before, prompt]) => {{
    const lines = ({LINES})();
    return lines.join() !== before.join() && lines.at(-1).trim().endsWith(prompt.trim());
}}"""


def take(png):
    """Runs the session and writes the picture."""
    with tempfile.TemporaryDirectory() as own:
        os.environ["KAFKA_COURSE_HOME"] = f"{own}/kafka"
        try:
            assert broker.start().bootstrap in WHERE, "port 9092 is taken: end the program that has it"
            with running_lab(Path(own), Path(own) / "jupyter", DARK) as lab, running_browser() as browser:
                photograph(browser, lab, png)
        finally:
            broker.stop(wipe=True)


def photograph(browser, lab, png):
    """Types the session into a terminal of this Lab and takes a picture of it."""
    page = browser.new_page()
    page.set_viewport_size({"width": 1330, "height": 460})
    page.goto(lab.link("lab"))
    page.wait_for_function("() => window.jupyterapp?.restored", timeout=TIMEOUT_MS)
    page.evaluate("() => window.jupyterapp.restored")
    page.evaluate(OPEN)
    page.wait_for_function(f"() => ({LINES})().length", timeout=TIMEOUT_MS)
    type_in(page, f"PATH='{Path(sys.executable).parent}':$PATH PS1='{PROMPT}'; clear")
    wait_for(page, PROMPT, [])
    for typed, then in SESSION:
        before = page.evaluate(LINES)
        type_in(page, typed)
        wait_for(page, then, before)
    box = page.locator(".jp-Terminal .xterm-screen").bounding_box()
    used = (len(page.evaluate(LINES)) + 1) / page.evaluate(ROWS)
    margin = 8
    clip = {
        "x": box["x"] - margin,
        "y": box["y"] - margin,
        "width": box["width"] + 2 * margin,
        "height": box["height"] * used + margin,
    }
    page.screenshot(path=png, clip=clip)


def type_in(page, text):
    """Types like a person; None is Ctrl-D."""
    page.locator(".jp-Terminal textarea").focus()
    if text is None:
        page.keyboard.press("Control+d")
        return
    for line in text.split("\n"):
        page.keyboard.type(line)
        page.keyboard.press("Enter")


def wait_for(page, prompt, before):
    """Waits until the screen is another than before, and ends with a prompt."""
    page.wait_for_function(LAST_LINE_IS, arg=[before, prompt], timeout=TIMEOUT_MS)


def main():
    """Takes the picture."""
    parser = argparse.ArgumentParser(description="Picture Kafka's command line tools in a terminal.")
    parser.add_argument("png", nargs="?", type=Path, default=PICTURE)
    take(parser.parse_args().png)


if __name__ == "__main__":
    main()

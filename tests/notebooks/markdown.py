"""What a page of markdown holds, as JupyterLab would show it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import mistune

NOT_PROSE = {"table", "pre", "details", "svg"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}

render = mistune.create_markdown(
    renderer=mistune.HTMLRenderer(escape=False, allow_harmful_protocols=True), plugins=["table"]
)


@dataclass
class Page:
    """The headings (level, text), links, images (source, alt text), tags and prose of some markdown."""

    headings: list = field(default_factory=list)
    links: list = field(default_factory=list)
    images: list = field(default_factory=list)
    html_tags: set = field(default_factory=set)
    prose: str = ""

    @property
    def anchors(self):
        """The names that a `#link` to this page can use in JupyterLab."""
        return {text.replace(" ", "-") for _, text in self.headings}


class PageReader(HTMLParser):
    """Fills a Page from HTML."""

    def __init__(self):
        super().__init__()
        self.page = Page()
        self.open_tags = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.page.html_tags.add(tag)
        if tag == "img":
            self.page.images.append((attributes.get("src") or "", attributes.get("alt") or ""))
            return
        self.open_tags.append(tag)
        if tag == "a" and "href" in attributes:
            self.page.links.append(attributes["href"])
        if tag in HEADINGS:
            self.page.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag):
        if tag in self.open_tags:
            while self.open_tags.pop() != tag:
                continue

    def handle_data(self, text):
        if not NOT_PROSE.intersection(self.open_tags):
            self.page.prose += text
        if HEADINGS.intersection(self.open_tags):
            level, so_far = self.page.headings[-1]
            self.page.headings[-1] = (level, so_far + text)


def read_markdown(source):
    """The Page of this markdown text."""
    reader = PageReader()
    reader.feed(render(source))
    reader.close()
    return reader.page

"""What all figures share: colours, the white card, text that fits, and how a figure is shown."""

import functools
import io
import re
import textwrap
from bisect import bisect
from itertools import chain, repeat

import matplotlib.style
import pandas as pd
from IPython.display import Image, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyBboxPatch

INK, BLACK, MUTED = "#1f2933", "#000000", "#52606d"  # for text: each 4.5:1 or better on white
LINE, HAIRLINE, PANEL, PAPER = "#7b8794", "#cbd2d9", "#f5f7fa", "#ffffff"
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
IDENTITY = [BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE]  # Okabe and Ito, safe for the colour-blind
OTHER, NO_KEY = "#9aa5b1", "#d3dae1"
NULL = "–"  # the name of a key that is not there

WIDTH, MARGIN, DPI = 9, 0.2, 110  # inches, inches, dots per inch
STRIP_LINE = 0.24  # inches
TEXT_WIDTH = 88  # characters: JupyterLab breaks a longer line in the middle of a word
TITLE, NOTE, LABEL, SMALL, TINY = 14.5, 10, 10, 8.5, 7.5  # points
LOOK = {"font.family": "DejaVu Sans", "text.color": INK, "text.parse_math": False, "hatch.linewidth": 0.7}


class DrawError(ValueError):
    """The DataFrame does not fit the figure. A notebook shows the message, not a traceback."""

    def _render_traceback_(self):
        """IPython asks an exception for this before it prints a traceback."""
        return [f"{type(self).__name__}: {self}"]


def need(frame, columns, figure):
    """Raises DrawError that names the columns which the figure needs and the frame does not have."""
    if not isinstance(frame, pd.DataFrame):
        raise DrawError(f"draw.{figure} draws a DataFrame, this is a {type(frame).__name__}.")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns)) or "none"
        raise DrawError(f"draw.{figure} needs the columns {', '.join(missing)}; the DataFrame has {there}.")


def in_house_style(make):
    """Runs a function that makes a figure with our settings, whatever the notebook has set for its own plots."""

    @functools.wraps(make)
    def styled(*args, **kwargs):
        with matplotlib.style.context(["default", LOOK]):
            return make(*args, **kwargs)

    return styled


def shown(make):
    """From a function that makes (Figure, text), one that shows the figure, prints the text and returns None."""

    @functools.wraps(make)
    def draw(*args, **kwargs):
        figure, text = make(*args, **kwargs)
        display(Image(data=png(figure), alt=text))
        print(textwrap.fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False))

    draw.__name__ = make.__name__.removesuffix("_figure")
    return draw


@in_house_style
def png(figure):
    """The figure as the bytes of a PNG; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return file.getvalue()


def card(height, title, note):
    """A white card with a title and a muted line. Returns (Figure, Axes).

    The Axes are in inches: x runs from 0 to WIDTH, y down from 0 below the heading to height.
    """
    titles = wrap(title, TITLE, "bold")
    notes = wrap(note, NOTE)
    heading = 0.28 + 0.27 * len(titles) + 0.21 * len(notes)
    figure = Figure(figsize=(WIDTH, heading + height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height, -heading))
    ax.axis("off")
    for number, line in enumerate(titles):
        ax.text(MARGIN, 0.31 - heading + 0.27 * number, line, size=TITLE, weight="bold", va="center")
    below = 0.31 - heading + 0.27 * len(titles)
    for number, line in enumerate(notes):
        ax.text(MARGIN, below + 0.21 * number, line, size=NOTE, color=MUTED, va="center")
    return figure, ax


def chart(figure, ax, left, top, right, bottom):
    """Axes with scales of their own on the card, its corners given in the card's inches."""
    (_, wide), (low, high) = ax.get_xlim(), ax.get_ylim()
    tall = low - high
    inner = figure.add_axes((left / wide, (low - bottom) / tall, (right - left) / wide, (bottom - top) / tall))
    inner.spines[:].set_visible(False)
    inner.tick_params(length=0, labelsize=SMALL, labelcolor=MUTED)
    inner.set_facecolor("none")
    return inner


def box(ax, left, top, width, height, colour=None, **how):
    """A rounded box; dotted and empty without a colour."""
    rounding = min(0.045, width / 4, height / 4)
    look = {"facecolor": colour, "linewidth": 0} if colour else {"facecolor": "none", "edgecolor": LINE, **DOTTED}
    shape = f"round,pad=0,rounding_size={rounding}"
    ax.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=shape, mutation_aspect=1, **{**look, **how}))


DOTTED = {"linewidth": 1, "linestyle": (0, (1, 1.6))}


def bracket(ax, left, right, y, label):
    """A line with ends and its label in the middle."""
    ax.plot([left, right], [y, y], color=LINE, linewidth=1)
    for side in (left, right):
        ax.plot([side, side], [y - 0.04, y + 0.04], color=LINE, linewidth=1)
    cut = {"boxstyle": "square,pad=0.25", "facecolor": PAPER, "linewidth": 0}
    how = {"size": SMALL, "color": MUTED, "ha": "center", "va": "center_baseline"}
    ax.text((left + right) / 2, y, label, bbox=cut, **how)


def strip_places(counts):
    """(x, line, name, label) for each name of a strip that says which colour is whose."""
    x, line, places = MARGIN, 0, []
    for name, number in counts.items():
        label = f"{shorten('no key' if name == NULL else name, 2.4, SMALL)}  {number:,}"
        wide = 0.19 + text_width(label, SMALL)
        if x + wide > WIDTH - MARGIN:
            x, line = MARGIN, line + 1
        places.append((x, line, name, label))
        x += wide + 0.28
    return places


def draw_strip(ax, top, places, colours):
    """The strip: a small box and the label for each name."""
    for x, line, name, label in places:
        y = top + 0.1 + STRIP_LINE * line
        box(ax, x, y - 0.06, 0.12, 0.12, colour_of(name, colours))
        ax.text(x + 0.19, y, label, size=SMALL, va="center_baseline")


def colour_of(name, colours):
    """The colour of a name; light grey for no key, grey for one that has none of its own."""
    return NO_KEY if name == NULL else colours.get(name, OTHER)


def palette(names, fixed=None):
    """A dict from each name to its colour: sorted names take the colours in order, the seventh and later are grey.

    fixed is such a dict from before; its names keep their colours, the new ones take what is left.
    """
    fixed = {name_of(name): colour for name, colour in (fixed or {}).items()}
    new = sorted({name_of(name) for name in names} - set(fixed) - {NULL}, key=natural)
    free = [colour for colour in IDENTITY if colour not in fixed.values()]
    return fixed | dict(zip(new, chain(free, repeat(OTHER)), strict=False))


def name_of(key):
    """A key as text: bytes decoded, NULL when there is none."""
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return NULL if pd.isna(key) else str(key)


def natural(name):
    """To sort user-2 before user-10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


def contrast(one, other):
    """The contrast ratio of two #rrggbb colours as WCAG 2 defines it, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    """The relative luminance of WCAG 2, from 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def text_on(fill):
    """White, ink or black: the first that can be read on the fill, at 4.5:1 or better."""
    return next((colour for colour in (PAPER, INK) if contrast(colour, fill) >= 4.5), BLACK)


def tint(colour, share):
    """The colour mixed with white; share 1 is the colour itself."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


@functools.lru_cache(maxsize=4096)
def text_width(text, size, weight="normal"):
    """How wide a text is, in inches."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
    font.set_size(size, 72)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 72


def fitting_size(texts, width, weight="normal", sizes=(SMALL, 8, TINY, 7, 6.5)):
    """The largest size at which every text fits into width inches; None if none does."""
    return next((size for size in sizes if all(text_width(text, size, weight) <= width for text in texts)), None)


def wrap(text, size, weight="normal"):
    """The text in lines that fit on the card."""
    room = WIDTH - 2 * MARGIN
    letters = next(n for n in range(len(text) + 1, 0, -1) if widest(text, n, size, weight) <= room or n < 20)
    return textwrap.wrap(text, letters) or [""]


def widest(text, letters, size, weight):
    """The width of the widest line when the text is wrapped at so many letters."""
    return max((text_width(line, size, weight) for line in textwrap.wrap(text, letters)), default=0)


def shorten(text, width, size):
    """The text, cut with … if it is wider than width inches."""
    if text_width(text, size) <= width:
        return text
    kept = bisect(range(len(text)), width, key=lambda n: text_width(text[: n + 1] + "…", size))
    return text[:kept] + "…"


def spread(wanted, sizes, low, high):
    """Positions close to the wanted ones where things of these sizes, centred there, do not overlap."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    edge = low
    for i in order:
        placed[i] = max(wanted[i], edge + sizes[i] / 2)
        edge = placed[i] + sizes[i] / 2
    edge = high
    for i in reversed(order):
        placed[i] = min(placed[i], edge - sizes[i] / 2)
        edge = placed[i] - sizes[i] / 2
    return placed


def levels(places, sizes):
    """For labels centred at places, the lowest level (0, 1, ...) at which each stands clear of those before it."""
    ends, chosen = [], [0] * len(places)
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        level = next((n for n, end in enumerate(ends) if places[i] - sizes[i] / 2 > end), len(ends))
        ends[level:] = [places[i] + sizes[i] / 2, *ends[level + 1 :]]
        chosen[i] = level
    return chosen


def round_step(least):
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below least."""
    return next(n * 10**e for e in range(19) for n in (1, 2, 5) if n * 10**e >= least)


def count(number, thing):
    """'1 record', '2 records', '1,000 records'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def listed(things, most=6):
    """'a, b and c', and how many more there are when the list is long."""
    things = [str(thing) for thing in things]
    if len(things) > most:
        things = [*things[: most - 1], f"{len(things) - most + 1} more"]
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)

"""A sequence diagram: who sent what to whom, one row below the other; as a figure, SVG, Mermaid and text."""

import io

import matplotlib
import pandas as pd

from . import style
from .style import BLUE, GREEN, HAIRLINE, INK, MARGIN, MUTED, PAPER, TINY, VERMILION, WIDTH, count

COLUMNS = ["kind", "source", "target", "label", "place", "t"]
KINDS = {  # of arrows: colour, line style
    "call": (INK, "-"),
    "record": (BLUE, "-"),
    "deliver": (BLUE, "-"),
    "reply": (GREEN, "-"),
    "redeliver": (VERMILION, "--"),
    "refused": (VERMILION, "--"),
}
POINTS = ("note", "commit", "crash")  # on the life line of the target, or of the source
ROUTINE = ("note", "commit")  # of these only the first one of a kind has its words, or they would hide the arrows
ARROW, POINT, HEAD = 0.29, 0.13, 0.44  # inches: heights of an arrow's row, a point's row, the participants' boxes
GUTTER = 0.55  # inches for the time, on the left, if there is one
SCREEN = 6  # inches of rows, about, after which the participants' names come again


@style.in_house_style
def sequence_figure(arrows, title=None, note=None):
    """Draws the rows from top to bottom, each participant with a life line, in the order in which they come.

    arrows has a row for each thing, with the columns kind, source, target, label, place (of a record in Kafka, or None)
    and t (seconds, or NaN). Kinds of arrows are call, record, deliver, reply, redeliver and refused; note, commit (of
    an offset) and crash are points on a life line. note replaces the muted line.
    """
    rows = read(arrows)
    names = participants(rows)
    ys, heads = places_in_time(rows)
    figure, ax = style.card(heads[-1] + HEAD + 0.2, title or default_title(rows), note or default_note(rows))
    if not rows:
        ax.text(MARGIN, 0.2, "nothing happened", size=style.LABEL, color=MUTED, va="center")
        return figure, "Nothing to draw."
    lanes = places_of(names, GUTTER if has_clock(rows) else 0)
    for top in heads:
        draw_heads(ax, lanes, top)
    for x in lanes.values():
        ax.plot([x, x], [HEAD, heads[-1]], color=HAIRLINE, linewidth=1, zorder=0)
    met = set()
    for row, y in zip(rows, ys, strict=True):
        draw_row(ax, row, lanes, y, words_of(row, met))
    return figure, text(rows)


def places_in_time(rows):
    """How far below the top each row is, and each line of heads, in inches; long diagrams have heads between too."""
    heights = [ARROW if row.kind in KINDS else POINT for row in rows]
    tall = sum(heights)
    part = tall / max(round(tall / SCREEN), 1)
    y, ys, heads, done = HEAD + 0.1, [], [0.05], 0
    for row, height in zip(rows, heights, strict=True):
        if done >= part * len(heads) and row.kind in KINDS and row.kind != "reply":  # it belongs to what asked for it
            heads.append(y + 0.15)
            y += HEAD + 0.15
        y, done = y + height, done + height
        ys.append(y)
    return ys, [*heads, y + 0.2]


def has_clock(rows):
    return any(pd.notna(row.t) for row in rows)


def words_of(row, met):
    """What stands beside a row's mark; met: the routine points that have had their words."""
    if row.kind in KINDS:
        return said(row)
    words = row.label or ("offset committed" if row.kind == "commit" else "")
    if row.kind in ROUTINE and words in met:
        return ""
    met.add(words)
    return words


def read(arrows):
    """The rows as named tuples. Raises DrawError for columns or kinds that do not fit."""
    style.need(arrows, COLUMNS, "sequence")
    unknown = sorted(set(arrows["kind"]) - set(KINDS) - set(POINTS))
    if unknown:
        raise style.DrawError(f"draw.sequence does not know the kind {unknown[0]!r}; it knows {known()}.")
    return list(arrows[COLUMNS].itertuples(index=False))


def known():
    return ", ".join([*KINDS, *POINTS])


def participants(rows):
    """The names, in the order in which they come; who is called for the first time stands beside the caller."""
    names = []
    for row in rows:
        if row.source not in names:
            names.append(row.source)
        if row.target not in names:
            names.insert(names.index(row.source) + 1 if row.kind == "call" else len(names), row.target)
    return names


def places_of(names, gutter):
    """Where each participant's life line is, in inches from the left."""
    left = max(gutter, MARGIN)
    pitch = (WIDTH - MARGIN - left) / max(len(names), 4)
    return {name: left + pitch * (number + 0.5) for number, name in enumerate(names)}


def draw_heads(ax, lanes, top):
    """A box with the name of each participant; Kafka is the blue one."""
    xs = list(lanes.values())
    wide = (xs[1] - xs[0] if len(xs) > 1 else 1.5) - 0.07
    words = [word for name in lanes for word in name.split()]
    size = style.fitting_size(words, wide - 0.06, "bold") or 6
    for name, x in lanes.items():
        style.box(ax, x - wide / 2, top, wide, HEAD - 0.08, BLUE if name == "Kafka" else INK)
        middle, label = top + (HEAD - 0.08) / 2, "\n".join(name.split())
        ax.text(x, middle, label, size=size, weight="bold", color=PAPER, ha="center", va="center", linespacing=1.05)


def draw_row(ax, row, lanes, y, words):
    """An arrow with its label above, or a point; the time on the left."""
    if pd.notna(row.t):
        ax.text(MARGIN, y, f"{row.t * 1000:,.0f} ms", size=6.5, color=MUTED, va="center")
    if row.kind in KINDS:
        draw_arrow(ax, row, lanes, y, words)
    else:
        draw_point(ax, row, lanes[row.target], y, words)


def draw_arrow(ax, row, lanes, y, words):
    """From one life line to another. Dashed: it came before; struck: it was refused."""
    start, end = lanes[row.source], lanes[row.target]
    colour, line = KINDS[row.kind]
    look = {"arrowstyle": "-|>,head_width=0.16,head_length=0.34", "color": colour, "linewidth": 1.3, "linestyle": line}
    ax.annotate("", (end, y), (start, y), arrowprops={**look, "shrinkA": 0, "shrinkB": 0}, zorder=3)
    if row.kind == "refused":
        ax.plot(end - 0.2 * (1 if end > start else -1), y, "x", color=colour, markersize=7, markeredgewidth=2, zorder=5)
    half = style.text_width(words, TINY) / 2
    middle = min(max(over(start, end, half, lanes.get("Kafka")), MARGIN + half), WIDTH - MARGIN - half)
    cut = {"boxstyle": "square,pad=0.05", "facecolor": PAPER, "linewidth": 0}
    how = {"size": TINY, "color": dark(colour), "ha": "center", "va": "center_baseline", "bbox": cut}
    ax.text(middle, y - 0.1, words, zorder=4, **how)


def over(start, end, half, kafka):
    """The middle of an arrow's label; one that is too long for its arrow ends at Kafka's line, and begins outside."""
    middle = (start + end) / 2
    if kafka in (start, end) and 2 * half > abs(end - start) - 0.1:
        away = start + end - kafka  # the other end
        return kafka + (half + 0.05) * (1 if away > kafka else -1)
    return middle


def dark(colour):
    """The colour, or ink where the colour is too light to read."""
    return colour if style.contrast(colour, PAPER) >= 4.5 else INK


def draw_point(ax, row, x, y, words):
    """A dot for an offset commit, a square for a note, a cross for a crash."""
    marker = {"commit": "o", "note": "s", "crash": "X"}[row.kind]
    colour = VERMILION if row.kind == "crash" else INK
    ax.plot(x, y, marker, color=colour, markersize=10 if row.kind == "crash" else 4, zorder=5)
    wide = style.text_width(words, 6.5)
    left = x + 0.12 if x + 0.12 + wide < WIDTH - MARGIN else x - 0.12 - wide
    cut = {"boxstyle": "square,pad=0.02", "facecolor": PAPER, "linewidth": 0}
    how = {"size": 6.5, "color": INK if row.kind == "crash" else MUTED, "bbox": cut}
    if words:
        ax.text(left, y, words, va="center_baseline", zorder=4, **how)


def said(row):
    """The label of an arrow; with the place where a record is written or read again."""
    words = [row.label] if row.label else []
    if pd.notna(row.place) and row.kind != "deliver":
        words.append(row.place)
    if row.kind == "refused":
        words.append("refused by the inbox")
    return "  ".join(words)


def counted(rows):
    """How many there are of each kind, as a dict; replies are records if they go to Kafka."""
    records = [row for row in rows if row.kind in ("record", "reply") and row.target == "Kafka"]
    return {
        "records": len(records),
        "calls": sum(row.kind == "call" for row in rows),
        "deliveries": sum(row.kind in ("deliver", "redeliver", "refused") for row in rows),
        "again": sum(row.kind in ("redeliver", "refused") for row in rows),
        "refused": sum(row.kind == "refused" for row in rows),
    }


def default_title(rows):
    found = counted(rows)
    parts = [count(len(participants(rows)), "participant"), count(found["records"], "record")]
    return " and ".join(parts) + (", and a process was killed" if any(row.kind == "crash" for row in rows) else "")


def default_note(rows):
    """The muted line: how to read the marks that are there."""
    kinds = {row.kind for row in rows}
    clock = ", the clock is on the left" if has_clock(rows) else ""
    parts = ["blue: through Kafka", "green: an answer"]
    parts += ["black: a call over HTTP"] if "call" in kinds else []
    parts += [f"the order comes from causes{clock}"]
    parts += ["dashed: delivered again"] if kinds & {"redeliver", "refused"} else []
    parts += ["cross on the arrow: refused"] if "refused" in kinds else []
    parts += ["square: database committed"] if any(row.label == "tx committed" for row in rows) else []
    parts += ["dot: offset committed"] if "commit" in kinds else []
    return " · ".join(parts)


def text(rows):
    """The line for a listener."""
    found = counted(rows)
    deliveries = "1 delivery" if found["deliveries"] == 1 else f"{found['deliveries']:,} deliveries"
    line = f"{count(found['records'], 'record')}, {deliveries} and {count(found['calls'], 'HTTP call')}"
    line += f" between {style.listed(participants(rows), 14)}."
    if found["again"]:
        line += f" Delivered again: {found['again']}, of which the inbox refused {found['refused']}."
    return line + "".join(f" {row.source} was killed." for row in rows if row.kind == "crash")


def sequence_text(arrows):
    """The whole diagram as numbered lines, for who cannot see it."""
    lines = []
    for number, row in enumerate(read(arrows), 1):
        place = f" at {row.place}" if pd.notna(row.place) else ""
        who = f"{row.source} to {row.target}" if row.kind in KINDS else row.target
        label = f": {row.label}" if row.label else ""
        lines.append(f"{number:3}. {row.kind}, {who}{label}{place}")
    return "\n".join(lines)


def sequence_mermaid(arrows):
    """The diagram as Mermaid text, for a README or a wiki."""
    rows = read(arrows)
    ids = {name: f"p{number}" for number, name in enumerate(participants(rows), 1)}
    lines = ["sequenceDiagram", *(f"    participant {short} as {name}" for name, short in ids.items())]
    heads = {"reply": "-->>", "redeliver": "--)", "refused": "--x"}
    for row in rows:
        source, target = ids[row.source], ids[row.target]
        if row.kind in KINDS:
            lines.append(f"    {source}{heads.get(row.kind, '->>')}{target}: {escaped(said(row)) or row.kind}")
        else:
            lines.append(f"    Note over {target}: {escaped(row.label or 'offset committed')}")
    return "\n".join(lines)


def escaped(words):
    """Mermaid ends a statement at ; and begins an entity with #."""
    return words.replace("#", "#35;").replace(";", "#59;")


def sequence_svg(arrows, title=None, note=None):
    """The figure as the text of an SVG file, whose words are text; the same rows give the same file."""
    figure, words = sequence_figure(arrows, title, note)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "sequence", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": words})
    return file.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")

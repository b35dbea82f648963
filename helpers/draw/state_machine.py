"""A state machine: boxes on a grid, and an arrow for each transition, with what causes it on it."""

import math

from matplotlib.patches import FancyArrowPatch

from . import style
from .style import BLUE, INK, LABEL, LINE, MARGIN, MUTED, PAPER, TINY, VERMILION, WIDTH, box, count

COLUMNS = ["state", "on", "next"]
TALL, PITCH = 0.5, 1.75  # inches: a box, and from one row of boxes to the next
ALONG = (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75)  # where on its arrow a label may stand


@style.in_house_style
def state_machine_figure(transitions, rows=None, title=None, note=None, dashed=()):
    """Draws each state as a box and each transition as an arrow; several between two states are one arrow.

    transitions has the columns state, on (what happens) and next. rows: the states as a list of rows from the top, None
    where a place stays empty; otherwise one row, in the order in which they come. dashed: what happens on dashed
    arrows. States without a way out are filled dark. note replaces the muted line.
    """
    style.need(transitions, COLUMNS, "state_machine")
    edges = read(transitions)
    names = list(dict.fromkeys(name for pair in edges for name in pair))
    rows = [list(row) for row in rows or [names]]
    missing = [name for name in names if name not in {name for row in rows for name in row}]
    if names and missing:
        raise style.DrawError(f"draw.state_machine has no place for {style.listed(missing)} in rows.")
    rails = [edge for edge in edges if is_rail(edge, rows)]
    height = PITCH * (len(rows) - 1) + TALL + 0.45 + (0.55 if rails else 0)
    figure, ax = style.card(height if names else 0.5, title or default_title(edges), note or default_note(dashed))
    if not names:
        ax.text(MARGIN, 0.2, "no states", size=LABEL, color=MUTED, va="center")
        return figure, "No states to draw."
    wide = (WIDTH - 2 * MARGIN) / max(len(row) for row in rows)
    places = places_of(rows, wide)
    draw_boxes(ax, places, wide - 0.3, {source for source, _ in edges})
    taken = []
    for pair, happens in edges.items():
        if pair not in rails:
            draw_arrow(ax, *(places[name] for name in pair), happens, dashed, wide - 0.3, taken)
    draw_rails(ax, rails, edges, places, wide, dashed)
    return figure, text(edges)


def read(transitions):
    """{(state, next): [what happens]}, in the order in which they come."""
    edges = {}
    for row in transitions[COLUMNS].itertuples(index=False):
        edges.setdefault((str(row.state), str(row.next)), []).append(str(row.on))
    return edges


def places_of(rows, wide):
    """The middle of each state's box, in inches."""
    return {
        name: (MARGIN + wide * (column + 0.5), 0.4 + TALL / 2 + PITCH * number)
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
        if name is not None
    }


def position(name, rows):
    """(row, column) of a state."""
    return next((number, row.index(name)) for number, row in enumerate(rows) if name in row)


def is_rail(edge, rows):
    """Whether it goes to a state of the same row that is not the next one: around the boxes, below the row."""
    (one, start), (other, end) = (position(name, rows) for name in edge)
    return one == other and abs(start - end) != 1 and one == len(rows) - 1


def draw_boxes(ax, places, wide, going_on):
    """Filled dark: an end."""
    words = [word for name in places for word in name.replace("_", " ").split()]
    size = style.fitting_size(words, wide - 0.08, "bold") or 6
    for name, (x, y) in places.items():
        ends = name not in going_on
        look = {"edgecolor": BLUE, "linewidth": 1.4, "zorder": 3}
        box(ax, x - wide / 2, y - TALL / 2, wide, TALL, INK if ends else style.tint(BLUE, 0.1), **look)
        label = "\n".join(name.replace("_", " ").split())
        how = {"color": PAPER if ends else INK, "ha": "center", "va": "center", "linespacing": 1.05, "zorder": 4}
        ax.text(x, y, label, size=size, weight="bold", **how)


def draw_arrow(ax, start, end, happens, dashed, wide, taken):
    """A straight arrow from edge to edge; its label stands on it, or above it where it is short."""
    one, other = edge_of(start, end, wide), edge_of(end, start, wide)
    style_of_line(ax, one, other, all(on in dashed for on in happens))
    words = "\n".join(happens)
    width = max(style.text_width(on, TINY) for on in happens) + 0.06
    tall = 0.13 * len(happens) + 0.03
    if start[1] == end[1]:
        spots = [((one[0] + other[0]) / 2, start[1] - TALL / 2 - 0.06 - tall / 2 - 0.14 * n) for n in range(2)]
    else:
        spots = [(one[0] + (other[0] - one[0]) * t, one[1] + (other[1] - one[1]) * t) for t in ALONG]
    free = [spot for spot in spots if not any(overlap(spot, width, tall, other) for other in taken)]
    x, y = (free or spots)[0]
    taken.append((x, y, width, tall))
    cut = {"boxstyle": "square,pad=0.05", "facecolor": PAPER, "linewidth": 0}
    ax.text(x, y, words, size=TINY, ha="center", va="center", bbox=cut, linespacing=1.1, zorder=5)


def edge_of(start, end, wide):
    """Where the line from one middle to another leaves the first box."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    across = min(wide / 2 / abs(dx) if dx else math.inf, TALL / 2 / abs(dy) if dy else math.inf)
    return start[0] + dx * across, start[1] + dy * across


def overlap(spot, width, tall, other):
    x, y, wide, high = other
    return abs(spot[0] - x) < (width + wide) / 2 and abs(spot[1] - y) < (tall + high) / 2


def style_of_line(ax, start, end, dashed):
    look = {"arrowstyle": "-|>,head_width=2.2,head_length=4.5", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
    look |= {"color": VERMILION, "linestyle": (0, (3, 2))} if dashed else {"color": INK}
    ax.add_patch(FancyArrowPatch(start, end, zorder=2, **look))


def draw_rails(ax, rails, edges, places, wide, dashed):
    """Arrows that go around: down from each box, along below the row, and up into the last one."""
    for target in dict.fromkeys(pair[1] for pair in rails):
        pairs = [pair for pair in rails if pair[1] == target]
        happens = list(dict.fromkeys(on for pair in pairs for on in edges[pair]))
        x, y = places[target]
        low = y + TALL / 2 + 0.32
        broken = all(on in dashed for on in happens)
        line = {"color": VERMILION if broken else LINE, "linewidth": 1.3, "linestyle": (0, (3, 2)) if broken else "-"}
        ends = [places[source][0] for source, _ in pairs] + [x]
        for start in ends[:-1]:
            ax.plot([start, start], [y + TALL / 2, low], zorder=2, **line)
        ax.plot([min(ends), max(ends)], [low, low], zorder=2, **line)
        style_of_line(ax, (x, low), (x, y + TALL / 2), broken)
        cut = {"boxstyle": "square,pad=0.05", "facecolor": PAPER, "linewidth": 0}
        middle = max(end for end in ends if end != x) if max(ends) == x else min(ends)
        ax.text((middle + x) / 2, low, ", ".join(happens), size=TINY, ha="center", va="center", bbox=cut, zorder=5)


def default_title(edges):
    """How many states there are, and how many of them are ends."""
    names = {name for pair in edges for name in pair}
    ends = names - {source for source, _ in edges}
    return f"{count(len(names), 'state')}, {len(ends)} of them an end" if names else "No states"


def default_note(dashed):
    return "dark: an end" + (f" · dashed: {style.listed(dashed)}" if len(dashed) else "")


def text(edges):
    """The figure in words."""
    by_state = {}
    for (source, target), happens in edges.items():
        by_state.setdefault(source, []).append(f"{' or '.join(happens)} leads to {target}")
    return "; ".join(f"{source}: {', '.join(ways)}" for source, ways in by_state.items()) + "."

"""Which keys move to another partition when partitions are added."""

from . import style
from .style import BLUE, LABEL, MARGIN, MUTED, SMALL, VERMILION, WIDTH, box, count

CELL_HEIGHT, WIDEST = 0.36, 0.75  # inches
LEFT, MOST_COLUMNS = 1.75, 24


@style.in_house_style
def key_moves_figure(frame, title=None, note=None):
    """Draws how many keys went from each partition (row) to each (column), and the share that moved.

    frame has a row for each key with the columns key, before and after, which are partitions.
    """
    style.need(frame, ["key", "before", "after"], "key_moves")
    keys = frame.drop_duplicates("key").dropna(subset=["before", "after"]).astype({"before": int, "after": int})
    rows, columns = sorted(set(keys["before"])), sorted(set(keys["after"]) | set(keys["before"]))
    moved = int((keys["before"] != keys["after"]).sum())
    grid = 0 < len(columns) <= MOST_COLUMNS
    tall = 1.05 + CELL_HEIGHT * len(rows) + 0.15 if grid else 0.65
    figure, ax = style.card(tall, title or default_title(len(keys), moved), note or default_note(keys, columns))
    if not len(keys):
        ax.text(MARGIN, 0.2, "no keys", size=LABEL, color=MUTED, va="center")
        return figure, "No keys to draw."
    draw_share(ax, len(keys), moved)
    counts = keys.groupby(["before", "after"]).size().to_dict()
    if grid:
        draw_grid(ax, counts, rows, columns)
    return figure, text(counts, len(keys), moved)


def draw_grid(ax, counts, rows, columns):
    """A cell for each partition before and each after."""
    width = min(WIDEST, (WIDTH - MARGIN - LEFT) / len(columns))
    size = style.fitting_size([f"to {column}" for column in columns], width, sizes=(SMALL, 7.5, 6.5)) or 6
    for place, column in enumerate(columns):
        ax.text(LEFT + (place + 0.5) * width, 0.93, f"to {column}", size=size, color=MUTED, ha="center", va="center")
    for number, row in enumerate(rows):
        top = 1.05 + number * CELL_HEIGHT
        ax.text(MARGIN, top + CELL_HEIGHT / 2, f"from partition {row}", size=LABEL, va="center_baseline")
        for place, column in enumerate(columns):
            draw_cell(ax, LEFT + place * width, top, width, counts.get((row, column), 0), counts, row == column)


def draw_share(ax, keys, moved):
    """One bar of all keys: those that stayed, and those that moved."""
    room, top, tall = WIDTH - 2 * MARGIN, 0.12, 0.36
    stayed = room * (keys - moved) / keys
    parts = [(MARGIN, stayed, keys - moved, "stayed", BLUE, {})]
    parts += [(MARGIN + stayed, room - stayed, moved, "moved", style.tint(VERMILION, 0.18), DASHED)]
    for left, width, number, word, fill, look in parts:
        if not number:
            continue
        box(ax, left + 0.02, top, width - 0.04, tall, fill, **look)
        label = f"{number:,} {word}, {number / keys:.0%}"
        if style.text_width(label, LABEL, "bold") < width - 0.15:
            on = {"color": style.text_on(fill), "weight": "bold", "ha": "center", "va": "center_baseline"}
            ax.text(left + width / 2, top + tall / 2, label, size=LABEL, **on)


DASHED = {"edgecolor": VERMILION, "linewidth": 1.3, "linestyle": (0, (3, 2))}


def draw_cell(ax, left, top, width, number, counts, same):
    """The number of keys on their way from one partition to another; the more, the darker."""
    share = 0.1 + 0.45 * number / max(counts.values())
    fill = style.tint(BLUE if same else VERMILION, share) if number else style.PANEL
    look = DASHED if number and not same else {}
    pad = min(0.03, width * 0.08)
    box(ax, left + pad, top + 0.03, width - 2 * pad, CELL_HEIGHT - 0.06, fill, **look)
    label = f"{number:,}"
    size = style.fitting_size([label], width - 2 * pad - 0.04, "bold")
    if number and size:
        on = {"color": style.text_on(fill), "weight": "bold", "ha": "center", "va": "center_baseline"}
        ax.text(left + width / 2, top + CELL_HEIGHT / 2, label, size=size, **on)


def default_note(keys, columns):
    """The muted line."""
    parts = [count(len(keys), "key"), "dashed: moved"]
    return " · ".join(parts + (["too many partitions for a grid"] if len(columns) > MOST_COLUMNS else []))


def default_title(keys, moved):
    """The share that moved."""
    if not keys:
        return "No keys"
    return f"{moved:,} of {count(keys, 'key')} moved to another partition" if moved else "No key moved"


def text(counts, keys, moved):
    """The figure in words."""
    said = [f"{count(keys, 'key')}: {keys - moved:,} stayed, {moved:,} moved ({moved / keys:.0%})"]
    for (before, after), number in sorted(counts.items()):
        if before != after:
            said.append(f"{number:,} from partition {before} to {after}")
    return said[0] + (": " + style.listed(said[1:], 8) if moved else "") + "."

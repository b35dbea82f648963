"""The partition log: records as boxes in the order of their offsets."""

import pandas as pd
from matplotlib.patches import Rectangle

from . import style
from .style import INK, MARGIN, MUTED, NULL, PANEL, SMALL, TINY, WIDTH, DrawError, box, count

BAND, BOX, WIDEST = 0.42, 0.34, 1.4  # inches: heights of a row's panel and of a box, and the width of a box
MOST_BOXES, MOST_COLUMNS = 110, 60  # in a row; with more boxes than that, columns stand for several offsets
MOST_ROWS, MOST_NAMES = 24, 6
LONG_GAP = 4  # so many missing offsets in a row share one box


@style.in_house_style
def partition_log_figure(records, committed=None, group=None, title=None, topic=None, partitions=None, colours=None):
    """Draws each partition's records along its offsets, coloured by key; offsets without a record are dotted.

    records has the columns partition, offset, key. committed is a dict from partition to committed offset, or a
    DataFrame with partition, committed and, if known, end. partitions is how many there are, to see the empty ones.
    """
    style.need(records, ["partition", "offset", "key"], "partition_log")
    records = records.drop_duplicates(["partition", "offset"]).sort_values(["partition", "offset"])
    records = records.assign(key=records["key"].map(style.name_of).astype(object))
    marks = read_marks(committed, topic)
    rows = read_rows(records, marks, partitions)
    colours = style.palette(records["key"], colours)
    plan = plan_boxes(rows) if max((len(row["boxes"]) for row in rows), default=0) <= MOST_BOXES else plan_columns(rows)
    drawn = rows[:MOST_ROWS]

    strip = 0.34 if committed is not None else 0.1
    pitch = strip + BAND + 0.24
    keys = key_counts(records, colours) if plan["size"] is None and len(records) else {}
    strip_of_keys = style.strip_places(keys)
    below = 0.1 + style.STRIP_LINE * (strip_of_keys[-1][1] + 1) if keys else 0
    height = pitch * max(len(drawn), 1) + 0.06 + below
    heading = title or default_title(records, rows, marks, group)
    figure, ax = style.card(height, heading, note(records, rows, plan, group, topic, committed is not None))
    for number, row in enumerate(drawn):
        top = number * pitch + strip
        draw_row(ax, row, top, plan, colours)
        if committed is not None:
            draw_committed(ax, row, top, marks.get(row["partition"], {}).get("committed"))
    style.draw_strip(ax, height - below + 0.02, strip_of_keys, colours)
    if not rows:
        ax.text(MARGIN, 0.3, "no records", size=style.LABEL, color=MUTED, va="center")
    return figure, text(rows, marks, committed is not None, topic)


def read_marks(committed, topic):
    """A dict from partition to what is known of it: committed and end, either may be None."""
    if committed is None:
        return {}
    if isinstance(committed, dict):
        return {int(partition): {"committed": whole(offset), "end": None} for partition, offset in committed.items()}
    style.need(committed, ["partition", "committed"], "partition_log(committed=...)")
    if topic and "topic" in committed:
        committed = committed[committed["topic"] == topic]
    if committed["partition"].duplicated().any():
        raise DrawError("draw.partition_log(committed=...) has two rows for a partition; keep one topic and one group.")
    ends = committed["end"] if "end" in committed else [None] * len(committed)
    found = zip(committed["partition"], committed["committed"], ends, strict=True)
    return {int(partition): {"committed": whole(offset), "end": whole(end)} for partition, offset, end in found}


def whole(number):
    """An int, or None for a value that is not there."""
    return None if pd.isna(number) else int(number)


def read_rows(records, marks, partitions):
    """For each partition a dict of its number, its records, its end offset and its boxes from left to right."""
    numbers = {int(partition) for partition in records["partition"]} | set(marks)
    numbers |= set(range(max(numbers, default=-1) + 1)) | set(range(partitions or 0))
    rows = []
    for number in sorted(numbers):
        mine = records[records["partition"] == number]
        found = list(zip(mine["offset"].astype(int), mine["key"], strict=True))
        last = found[-1][0] + 1 if found else 0
        end = max(last, marks.get(number, {}).get("end") or 0)
        rows.append({"partition": number, "records": found, "end": end, "boxes": boxes(found, end)})
    return rows


def boxes(found, end):
    """(first offset, last offset, key) from 0 to the end; key None where there is no record."""
    made, expected = [], 0
    for offset, key in [*found, (end, None)]:
        missing = range(expected, offset)
        if len(missing) >= LONG_GAP:
            made.append((expected, offset - 1, None))
        else:
            made += [(gone, gone, None) for gone in missing]
        made += [(offset, offset, key)] if offset < end else []
        expected = offset + 1
    return made


def slots(piece):
    """How many places a box takes: a long gap takes two."""
    return 1 if piece[0] == piece[1] else 2


def sizes(rows):
    """Where the rows begin and how much room they have, in inches."""
    last = max((row["partition"] for row in rows), default=0)
    left = MARGIN + style.text_width(f"partition {last}", style.LABEL) + 0.15
    return left, WIDTH - MARGIN - left - 0.65


def plan_boxes(rows):
    """One box for a record: sets each row's edges, and returns the left edge, box width and text size."""
    left, room = sizes(rows)
    names = sorted({key for row in rows for _, _, key in row["boxes"] if key})
    widest = max((style.text_width(name, SMALL, "bold") for name in names), default=0)
    most = max((sum(map(slots, row["boxes"])) for row in rows), default=0)
    width = min(max(0.46, min(widest + 0.14, WIDEST)), room / max(most, 1))
    for row in rows:
        row["edges"] = [(0, left + 0.08)]
        for piece in row["boxes"]:
            row["edges"].append((piece[1] + 1, row["edges"][-1][1] + width * slots(piece)))
    size = style.fitting_size(names, width * 0.88 - 0.03, "bold")
    return {"left": left, "width": width, "each": None, "size": size}


def plan_columns(rows):
    """One column for several offsets, on one scale for all rows; a long gap before the first record is one box."""
    left, room = sizes(rows)
    for row in rows:
        row["begin"] = row["records"][0][0] if row["records"] and row["records"][0][0] >= LONG_GAP else 0
    span = max(row["end"] - row["begin"] for row in rows)
    each = style.round_step(span / MOST_COLUMNS)
    width = (room - 0.9) / -(-span // each)
    for row in rows:
        start = left + 0.08 + (0.8 if row["begin"] else 0)
        stop = start + (row["end"] - row["begin"]) / each * width
        row["edges"] = sorted({(0, left + 0.08), (row["begin"], start), (row["end"], stop)})
    return {"left": left, "width": width, "each": each, "size": None}


def place(row, offset):
    """Where an offset begins, in inches from the left."""
    offset = min(max(offset, 0), row["end"])
    after = next(i for i, (edge, _) in enumerate(row["edges"]) if edge >= offset)
    (low, x), (high, end) = row["edges"][max(after - 1, 0)], row["edges"][after]
    return end if high == low else x + (end - x) * (offset - low) / (high - low)


def draw_row(ax, row, top, plan, colours):
    """The panel with the partition's number, and its boxes or columns with offsets below."""
    left, middle = plan["left"], top + BAND / 2
    ax.text(MARGIN, middle, f"partition {row['partition']}", size=style.LABEL, va="center")
    box(ax, left, top, WIDTH - MARGIN - left, BAND, PANEL)
    if not row["end"]:
        ax.text(left + 0.14, middle, "empty", size=SMALL, color=MUTED, va="center")
    elif plan["each"]:
        draw_columns(ax, row, top, plan, colours)
    else:
        draw_boxes(ax, row, top, plan, colours)


def draw_boxes(ax, row, top, plan, colours):
    """A box for each record with its key on it, if there is room, and a dotted one for what is missing."""
    gap = min(0.06, plan["width"] * 0.14)
    widest = max(style.text_width(f"{last:,}", TINY) for _, last, _ in row["boxes"])
    step = style.round_step(max(1, (widest + 0.06) / plan["width"]))
    edges = [x for _, x in row["edges"]]
    for number, ((first, last, key), left, right) in enumerate(zip(row["boxes"], edges, edges[1:], strict=False)):
        middle = (left + right) / 2
        fill = style.colour_of(key, colours) if key else None
        box(ax, left + gap / 2, top + (BAND - BOX) / 2, right - left - gap, BOX, fill)
        if key and plan["size"]:
            on = {"color": style.text_on(fill), "weight": "bold", "ha": "center", "va": "center_baseline"}
            ax.text(middle, top + BAND / 2, key, size=plan["size"], **on)
        if last > first:
            range_label(ax, first, last, left, right, top)
        elif number % step == 0:
            ax.text(middle, top + BAND + 0.1, f"{first:,}", size=TINY, color=MUTED, ha="center", va="center")


def range_label(ax, first, last, left, right, top):
    """The offsets of a long gap in its box."""
    label = f"{first:,}–{last:,}"
    size = style.fitting_size([label], right - left - 0.1, sizes=(TINY, 7, 6.5, 6))
    if size:
        ax.text((left + right) / 2, top + BAND / 2, label, size=size, color=MUTED, ha="center", va="center_baseline")


def draw_columns(ax, row, top, plan, colours):
    """Columns filled from the bottom by key, for many records; what stays empty holds no record."""
    each, begin = plan["each"], row["begin"]
    columns = pd.DataFrame(row["records"], columns=["offset", "key"])
    columns["column"] = (columns["offset"] - begin) // each
    order = {name: number for number, name in enumerate([*colours, NULL])}
    for column, mine in columns.groupby("column"):
        left = place(row, begin + column * each)
        wide = (place(row, begin + (column + 1) * each) - left) * 0.86
        share = BOX / min(each, row["end"] - begin - column * each)
        floor = top + (BAND + BOX) / 2
        for key, number in sorted(mine["key"].value_counts().items(), key=lambda pair: order[pair[0]]):
            floor -= number * share
            patch = {"facecolor": style.colour_of(key, colours), "linewidth": 0}
            ax.add_patch(Rectangle((left, floor), wide, number * share, **patch))
    if begin:
        left = plan["left"] + 0.08
        box(ax, left, top + (BAND - BOX) / 2, 0.74, BOX)
        range_label(ax, 0, begin - 1, left, left + 0.74, top)
    widest = style.text_width(f"{row['end']:,}", TINY) + 0.3
    step = style.round_step(max(each, widest / plan["width"] * each))
    for offset in range(-(-begin // step) * step, row["end"], step):
        x = place(row, offset)
        ax.text(x, top + BAND + 0.1, f"{offset:,}", size=TINY, color=MUTED, ha="left", va="center")


def draw_committed(ax, row, top, committed):
    """▼ at the committed offset, and the lag from there to the end."""
    if committed is None:
        ax.text(row["edges"][0][1], top - 0.12, "nothing committed", size=SMALL, color=MUTED, va="center_baseline")
        return
    x, end, lag = place(row, committed), place(row, row["end"]), max(row["end"] - committed, 0)
    ax.plot([x, x], [top - 0.1, top + BAND], color=INK, linewidth=1.8, solid_capstyle="butt")
    ax.plot(x, top - 0.11, "v", color=INK, markersize=7.5, markeredgewidth=0)
    high = {"size": SMALL, "va": "center_baseline"}
    ax.text(x - 0.1, top - 0.12, f"committed {committed:,}", ha="right", **high)
    label = f"lag {lag:,}"
    wide = style.text_width(label, SMALL) + 0.14
    if end - x < wide + 0.5:
        ax.text(x + 0.1, top - 0.12, label, color=MUTED, **high)
        return
    style.bracket(ax, x + 0.1, end, top - 0.12, label)


def key_counts(records, colours):
    """How many records each name of the strip has; keys without a colour of their own come last, as one."""
    counts = records["key"].value_counts()
    own = {key: int(counts[key]) for key in [*colours, NULL] if key in counts and colours.get(key) != style.OTHER}
    rest = [key for key in counts.index if key not in own]
    return own | ({style.count(len(rest), "other key"): int(counts[rest].sum())} if rest else {})


def note(records, rows, plan, group, topic, marked):
    """The muted line: what is drawn, and how to read the marks."""
    parts = [f"topic {topic}"] if topic else []
    parts.append(count(len(records), "record"))
    if len(rows) > MOST_ROWS:
        parts.append(f"the first {MOST_ROWS} of {len(rows)} partitions")
    if plan["each"]:
        parts.append(f"a column is {count(plan['each'], 'offset')}, filled by key")
    if marked:
        parts.append(f"▼ committed by group {group}" if group else "▼ committed")
    if any(len(row["records"]) < row["end"] for row in rows):
        parts.append("blank: no record" if plan["each"] else "dotted: no record at this offset")
    return " · ".join(parts)


def default_title(records, rows, marks, group):
    """What the figure shows, in words."""
    if not len(records):
        return "No records"
    if marks:
        return lag_title(rows, marks, f"Group {group}" if group else "The group")
    keyed = records[records["key"] != NULL]
    homes = keyed.groupby("key")["partition"].nunique()
    if not len(homes):
        return f"{count(len(records), 'record')} without a key, in {count(records['partition'].nunique(), 'partition')}"
    torn = sorted(homes[homes > 1].index, key=style.natural)
    if torn:
        lie = "lies" if len(torn) == 1 else "lie"
        return f"{style.listed(torn, 4)} {lie} in more than one partition"
    return "The records of a key stay together, in one partition"


def lag_title(rows, marks, who):
    """How far the group is behind."""
    filled = [row for row in rows if row["end"]]
    known = [row for row in filled if marks.get(row["partition"], {}).get("committed") is not None]
    behind = sum(max(row["end"] - marks[row["partition"]]["committed"], 0) for row in known)
    if not known:
        return f"{who} has committed nothing"
    if behind:
        return f"{who} is {count(behind, 'offset')} behind the end"
    if len(known) < len(filled):
        return f"{who} has committed in {len(known)} of {count(len(filled), 'partition')}"
    return f"{who} has read to the end"


def text(rows, marks, marked, topic):
    """The figure in words."""
    if not rows:
        return "No partitions to draw."
    said = [row_text(row, marks.get(row["partition"], {}).get("committed"), marked) for row in rows[:MOST_ROWS]]
    more = f" And {count(len(rows) - MOST_ROWS, 'more partition')}." if len(rows) > MOST_ROWS else ""
    return (f"{topic}: " if topic else "") + "; ".join(said) + "." + more


def row_text(row, committed, marked):
    """One partition in words."""
    found = row["records"]
    if not found:
        said = f"partition {row['partition']} holds no records"
    else:
        counts = pd.Series([key for _, key in found]).value_counts()
        order = sorted(counts.index, key=lambda key: (-counts[key], style.natural(key)))
        keys = ", ".join(f"{'no key' if key == NULL else key}: {counts[key]:,}" for key in order[:MOST_NAMES])
        keys += f", {count(len(order) - MOST_NAMES, 'more key')}" if len(order) > MOST_NAMES else ""
        said = f"partition {row['partition']} holds {count(len(found), 'record')} ({keys})"
    missing = row["end"] - len(found)
    said += f", {count(missing, 'offset')} without a record" if missing else ""
    if marked:
        lag = None if committed is None else max(row["end"] - committed, 0)
        said += ", nothing committed" if committed is None else f", committed {committed:,}, lag {lag:,}"
    return said

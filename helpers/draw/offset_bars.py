"""Where a group stands in each partition: beginning, committed, position, end."""

import pandas as pd

from . import style
from .style import BLUE, INK, MARGIN, MUTED, PANEL, SMALL, TINY, VERMILION, WIDTH, box, count

BAR, PITCH, ABOVE = 0.34, 1.02, 0.36  # inches
MOST_ROWS = 24
READ = {"committed": "read, not committed", "position": "read", None: ""}


@style.in_house_style
def offsets_figure(frame, title=None, group=None):
    """Draws a bar per partition from its beginning to its end, with the committed offset, the position and the lag.

    frame has the columns partition, beginning, committed, end, and may have position and topic. committed and position
    may be missing values. The lag is end - committed; where no partition has a committed offset, end - position.
    """
    style.need(frame, ["partition", "beginning", "committed", "end"], "offsets")
    rows = read_rows(frame, group)
    drawn = rows[:MOST_ROWS]
    left = MARGIN + max((style.text_width(row["name"], style.LABEL) for row in drawn), default=0) + 0.15
    figure, ax = style.card(PITCH * max(len(drawn), 1), title or default_title(rows, group), note(rows, group))
    scale = make_scale(drawn, left + 0.1, WIDTH - MARGIN - 0.35)
    for number, row in enumerate(drawn):
        draw_row(ax, row, number * PITCH + ABOVE, left, scale)
    if not rows:
        ax.text(MARGIN, 0.3, "no partitions", size=style.LABEL, color=MUTED, va="center")
    return figure, text(rows)


def read_rows(frame, group):
    """A dict for each partition: name, beginning, committed, position, end, lag and what the lag is counted from."""
    known = [name for name in ("committed", "position") if name in frame and frame[name].notna().any()]
    since = "committed" if group else next(iter(known), None)
    several = "topic" in frame and frame["topic"].nunique() > 1
    order = ["topic", "partition"] if several else ["partition"]
    rows = []
    for found in frame.sort_values(order).to_dict("records"):
        name = f"{found['topic']} {found['partition']}" if several else f"partition {found['partition']}"
        numbers = {key: found.get(key) for key in ("beginning", "committed", "position", "end")}
        numbers = {key: None if pd.isna(value) else int(value) for key, value in numbers.items()}
        row = {"name": name, **numbers, "beginning": numbers["beginning"] or 0, "end": numbers["end"] or 0}
        row |= {"since": since, "lag": None, "counted": "lag" if since == "committed" else "still to read"}
        if since and row[since] is not None:
            row["lag"] = max(row["end"] - row[since], 0)
        rows.append(row)
    return rows


def lowest(rows):
    """The offset where the scale starts: 0, or a little before the first beginning if that is far from 0."""
    end = max((row["end"] for row in rows), default=0)
    begin = min((min(row["beginning"], row["end"]) for row in rows), default=0)
    return 0 if begin <= end / 2 else begin - max((end - begin) // 4, 1)


def make_scale(rows, left, right):
    """A function from an offset to inches."""
    low, end = lowest(rows), max((row["end"] for row in rows), default=0) or 1
    return lambda offset: left + (right - left) * (max(offset, low) - low) / (end - low)


def draw_row(ax, row, top, left, scale):
    """The bar of a partition with the lag above it and the offsets below it."""
    middle = top + BAR / 2
    ax.text(MARGIN, middle, row["name"], size=style.LABEL, va="center")
    box(ax, left, top - 0.04, WIDTH - MARGIN - left, BAR + 0.08, PANEL)
    begin, end = scale(row["beginning"]), scale(row["end"])
    if row["beginning"]:
        draw_deleted(ax, left + 0.1, begin, top, "" if lost(row) else count(row["beginning"], "offset") + " deleted")
    if row["end"] == row["beginning"]:
        ax.text(begin + 0.08, middle, "empty", size=SMALL, color=MUTED, va="center_baseline")
    committed = row["beginning"] if row["committed"] is None else max(row["committed"], row["beginning"])
    position = min(max(row["position"] or 0, committed), row["end"])
    part(ax, scale(position), end, top, style.tint(BLUE, 0.16), "to read" if row["since"] else "records")
    part(ax, scale(committed), scale(position), top, style.tint(BLUE, 0.5), READ[row["since"]])
    part(ax, begin, scale(committed), top, BLUE, "committed")
    if row["position"] is not None:
        x = scale(row["position"])
        ax.plot([x, x], [top - 0.04, top + BAR + 0.04], color=INK, linewidth=1.4, linestyle=(0, (2, 1.5)))
    if row["since"] and row["lag"] is None:
        missing = "nothing committed" if row["since"] == "committed" else "no position"
        ax.text(left + 0.1, top - 0.17, missing, size=SMALL, color=MUTED, va="center_baseline")
    if row["committed"] is not None:
        draw_committed(ax, row, top, scale)
    if row["lag"] is not None:
        draw_lag(ax, row, top - 0.17, scale)
    draw_numbers(ax, row, top + BAR + 0.15, scale)


def part(ax, left, right, top, fill, label):
    """A stretch of the bar with what it is, if there is room to say it."""
    if right - left < 0.01:
        return
    box(ax, left, top, right - left, BAR, fill)
    if style.text_width(label, SMALL) < right - left - 0.12:
        on = {"color": style.text_on(fill), "ha": "center", "va": "center_baseline"}
        ax.text((left + right) / 2, top + BAR / 2, label, size=SMALL, **on)


def draw_deleted(ax, left, right, top, label):
    """The range before the beginning, dotted: its records are gone."""
    if right - left < 0.05:
        return
    box(ax, left, top, right - left - 0.03, BAR)
    if style.text_width(label, SMALL) < right - left - 0.12:
        middle = (left + right) / 2
        ax.text(middle, top + BAR / 2, label, size=SMALL, color=MUTED, ha="center", va="center_baseline")


def lost(row):
    """Whether the group would go on at an offset whose record is deleted."""
    return row["committed"] is not None and row["committed"] < row["beginning"]


def draw_committed(ax, row, top, scale):
    """▼ at the committed offset; a cross where its record is deleted."""
    x, y = scale(row["committed"]), top - 0.17
    mark = {"marker": "X", "color": VERMILION} if lost(row) else {"marker": "v", "color": INK}
    ax.plot([x, x], [y, top + BAR + 0.04], color=mark["color"], linewidth=1.8, solid_capstyle="butt")
    ax.plot(x, y, markersize=7.5, markeredgewidth=0, **mark)


def draw_lag(ax, row, y, scale):
    """The lag from the committed offset, or from the position, to the end."""
    x, end, high = scale(row[row["since"]]), scale(row["end"]), {"size": SMALL, "va": "center_baseline"}
    label = f"{row['counted']} {row['lag']:,}"
    label += ", committed offset is deleted" if lost(row) else ""
    wide = style.text_width(label, SMALL)
    if end - x > wide + 0.5:
        style.bracket(ax, x + 0.1, end, y, label)
    elif x + 0.1 + wide < WIDTH - MARGIN:
        ax.text(x + 0.1, y, label, color=MUTED, **high)
    else:
        ax.text(x - 0.1, y, label, color=MUTED, ha="right", **high)


def draw_numbers(ax, row, y, scale):
    """The offsets below the bar, each close to its place; equal ones share a label."""
    names = {}
    for name in ("beginning", "committed", "position", "end"):
        if row[name] is not None:
            names.setdefault(row[name], []).append(name)
    labels = [f"{' = '.join(same)} {offset:,}" for offset, same in names.items()]
    wide = [style.text_width(label, TINY) + 0.14 for label in labels]
    wanted = [scale(offset) for offset in names]
    for x, label in zip(style.spread(wanted, wide, scale(0) - 0.1, WIDTH - MARGIN + 0.07), labels, strict=True):
        ax.text(x, y, label, size=TINY, color=MUTED, ha="center", va="center")


def note(rows, group):
    """The muted line: what is drawn, and how to read the marks."""
    parts = [f"group {group}"] if group else []
    shown = f"the first {MOST_ROWS} of {len(rows)} partitions" if len(rows) > MOST_ROWS else None
    parts += [shown or count(len(rows), "partition")]
    parts += ["▼ committed"] if any(row["committed"] is not None for row in rows) else []
    parts += ["dashed: position"] if any(row["position"] is not None for row in rows) else []
    parts += ["dotted: deleted"] if any(row["beginning"] for row in rows) else []
    parts += [f"the scale starts at {lowest(rows):,}"] if lowest(rows) else []
    return " · ".join(parts)


def default_title(rows, group):
    """How far the group is behind."""
    if not rows or not rows[0]["since"]:
        kept = sum(row["end"] - row["beginning"] for row in rows)
        return f"{count(kept, 'offset')} in {count(len(rows), 'partition')}" if rows else "No partitions"
    lags = [row["lag"] for row in rows if row["lag"] is not None]
    committed = rows[0]["since"] == "committed"
    who = f"Group {group}" if group else "The group" if committed else "The consumer"
    if not lags:
        return f"{who} has committed nothing"
    if sum(lags):
        missing = [row["name"] for row in rows if row["lag"] is None] if committed else []
        nothing = f"; nothing committed in {style.listed(missing, 3)}" if missing else ""
        return f"{who} is {count(sum(lags), 'offset')} behind the end{nothing}"
    if len(lags) < len(rows):
        return f"{who} has {'committed' if committed else 'a position'} in {len(lags)} of {len(rows)} partitions"
    return f"{who} has read to the end"


def text(rows):
    """The figure in words."""
    if not rows:
        return "No partitions to draw."
    more = f" And {count(len(rows) - MOST_ROWS, 'more partition')}." if len(rows) > MOST_ROWS else ""
    return "; ".join(row_text(row) for row in rows[:MOST_ROWS]) + "." + more


def row_text(row):
    """One partition in words."""
    said = f"{row['name']}: beginning {row['beginning']:,}, "
    said += f"committed {row['committed']:,}, " if row["committed"] is not None else ""
    said += "nothing committed, " if row["since"] == "committed" and row["committed"] is None else ""
    said += "" if row["position"] is None else f"position {row['position']:,}, "
    said += f"end {row['end']:,}"
    said += "" if row["lag"] is None else f", {row['counted']} {row['lag']:,}"
    return said + (", the committed offset is deleted" if lost(row) else "")

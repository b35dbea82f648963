"""A value that changes step by step, one row for each series."""

import pandas as pd

from . import style
from .style import HAIRLINE, INK, LABEL, MARGIN, MUTED, TINY, VERMILION, WIDTH, count

ROW, HIGH, LOW = 1.1, 0.18, 0.86  # inches: a row, and where in it the highest and the lowest value are
MOST_LABELS = 24


@style.in_house_style
def steps_figure(frame, title=None, note=None, colours=None):
    """Draws the value after each step, a row for each series on the same scales; below 0 it is crossed.

    frame has the columns step (a number) and value, and may have series (a name) and event (what the step did).
    Series are drawn, and take their colours, in the order of the DataFrame. note replaces the muted line.
    """
    style.need(frame, ["step", "value"], "steps")
    series = read_series(frame)
    colours = colours or dict(zip(series, style.IDENTITY, strict=False))
    pitch = ROW + (0.58 if "event" in frame else 0.36)
    height = pitch * len(series) + 0.1 if series else 0.5
    figure, ax = style.card(height, title or default_title(series), note or default_note(series))
    if not series:
        ax.text(MARGIN, 0.2, "no steps", size=LABEL, color=MUTED, va="center")
        return figure, "No steps to draw."
    left = MARGIN + max(style.text_width(name, LABEL) for name in series) + 0.3
    steps = pd.concat(series.values())["step"]
    values = pd.concat(series.values())["value"]
    place_x = scale(steps.min(), steps.max() + 1, left, WIDTH - MARGIN - 0.1)
    for number, (name, mine) in enumerate(series.items()):
        top = number * pitch + 0.08
        place_y = scale(min(values.min(), 0), max(values.max(), 0), top + LOW, top + HIGH)
        draw_series(ax, name, mine, style.colour_of(name, colours), place_x, place_y, top)
    return figure, text(series)


def read_series(frame):
    """A dict from each series' name to its DataFrame, sorted by step."""
    found = frame.dropna(subset=["step", "value"]).astype({"value": float})
    names = found["series"].map(style.name_of) if "series" in found else pd.Series("value", found.index)
    ordered = found.sort_values("step", kind="stable")
    return {name: ordered[names.reindex(ordered.index) == name] for name in dict.fromkeys(names)}


def scale(low, high, start, end):
    """A function from low..high to start..end."""
    return lambda value: start + (end - start) * (value - low) / ((high - low) or 1)


def draw_series(ax, name, mine, colour, place_x, place_y, top):
    """The name, the line at 0, the steps with their values, and what each step did."""
    xs = [place_x(step) for step in mine["step"]]
    edges = [*xs[1:], min(xs[-1] + (place_x(1) - place_x(0)), WIDTH - MARGIN)]
    ax.text(MARGIN, top + ROW / 2, name, size=LABEL, va="center")
    zero = place_y(0)
    ax.plot([xs[0] - 0.1, WIDTH - MARGIN], [zero, zero], color=HAIRLINE, linewidth=1)
    ax.text(xs[0] - 0.16, zero, "0", size=TINY, color=MUTED, ha="right", va="center")
    room = min((after - x for x, after in zip(xs, edges, strict=True)), default=0)
    labels = [show(value) for value in mine["value"]]
    size = style.fitting_size(labels, room - 0.06, "bold") if len(mine) <= MOST_LABELS else None
    path_x = [x for pair in zip(xs, edges, strict=True) for x in pair]
    path_y = [place_y(value) for value in mine["value"] for _ in (0, 1)]
    ax.fill_between(path_x, path_y, zero, color=style.tint(colour, 0.12), linewidth=0)
    ax.plot(path_x, path_y, color=colour, linewidth=2, solid_joinstyle="round")
    for x, edge, value, label in zip(xs, edges, mine["value"], labels, strict=True):
        draw_value(ax, (x + edge) / 2, place_y(value), value, label, size, cross=min(max(room * 50, 3), 9))
    draw_events(ax, mine, xs, edges, top + ROW + 0.1)


def draw_value(ax, x, y, value, label, size, cross):
    """The value above its step; below 0, under it and with a cross."""
    if value < 0:
        ax.plot(
            x, y, "X", color=VERMILION, markersize=cross, markeredgecolor="white", markeredgewidth=cross / 12, zorder=4
        )
    if size:
        y += 0.15 if value < 0 else -0.1
        ax.text(x, y, label, size=size, color=INK, weight="bold", ha="center", va="center_baseline", zorder=5)


def draw_events(ax, mine, xs, edges, y):
    """The number of each step, as far as there is room, and its event below it if all of them fit."""
    middles = [(x + edge) / 2 for x, edge in zip(xs, edges, strict=True)]
    room = min(edge - x for x, edge in zip(xs, edges, strict=True))
    every = style.round_step(max(1, (style.text_width(f"{mine['step'].max():,}", TINY) + 0.08) / max(room, 0.001)))
    for x, step in zip(middles, mine["step"], strict=True):
        if step % every == 0:
            ax.text(x, y, f"{step:,}", size=TINY, color=MUTED, ha="center", va="center")
    if "event" not in mine:
        return
    events = ["" if pd.isna(event) else str(event) for event in mine["event"]]
    size = style.fitting_size(events, room - 0.06)
    for x, event in zip(middles, events, strict=True):
        if size:
            ax.text(x, y + 0.19, event, size=size, ha="center", va="center_baseline")


def show(value):
    """The value with a true minus sign."""
    return f"{value:,.10g}".replace("-", "−")


def default_note(series):
    """The muted line: how many steps, and what a cross means."""
    below = any((mine["value"] < 0).any() for mine in series.values())
    parts = [count(max((len(mine) for mine in series.values()), default=0), "step")]
    parts += ["each row on the same scale"] if len(series) > 1 else []
    return " · ".join(parts + (["cross: below 0"] if below else []))


def default_title(series):
    """Which series falls below 0, or where they end."""
    below = {name: mine["value"].min() for name, mine in series.items() if mine["value"].min() < 0}
    if not series:
        return "No steps"
    if below:
        name = min(below, key=below.get)
        fine = [other for other in series if other not in below]
        return f"{name} falls to {show(below[name])}" + (f", {style.listed(fine, 3)} never below 0" if fine else "")
    ends = {mine["value"].iloc[-1] for mine in series.values()}
    if len(series) == 1:
        return f"{next(iter(series))} ends at {show(ends.pop())} and never falls below 0"
    return (
        f"All end at {show(ends.pop())}, never below 0" if len(ends) == 1 else "None falls below 0, but they end apart"
    )


def text(series):
    """The figure in words."""
    crossed = any(mine["value"].min() < 0 for mine in series.values())
    return "; ".join(f"{name}: " + ", ".join(course(mine, crossed)) for name, mine in series.items()) + "."


def course(mine, crossed):
    """Where a series begins and ends, and how low and high it goes between; crossed: some series falls below 0."""
    values = mine["value"]
    first, last = values.iloc[0], values.iloc[-1]
    low, high = mine.loc[values.idxmin()], mine.loc[values.idxmax()]
    said = [f"{first:,.10g} after step {mine['step'].iloc[0]:,}", f"{last:,.10g} at the end"]
    if low["value"] < min(first, last):
        said.append(f"lowest {low['value']:,.10g} after step {low['step']:,}")
    if high["value"] > max(first, last):
        said.append(f"highest {high['value']:,.10g} after step {high['step']:,}")
    if crossed and low["value"] >= 0:
        said.append("never below 0")
    return said

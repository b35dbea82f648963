"""Several measures over the same seconds, a row for each."""

import pandas as pd

from . import style
from .style import HAIRLINE, INK, LABEL, LINE, MARGIN, MUTED, SMALL, TINY, WIDTH, count

ROW, TALL, LABEL_ROOM = 0.62, 0.44, 1.75  # inches: a row, what of it is drawn on, the names on the left
MOST_ROWS = 14


@style.in_house_style
def time_rows_figure(frame, title=None, note=None, events=(), colours=None):
    """Draws each series over the seconds, with its highest value; each row has its own scale, the seconds are one.

    frame has the columns t (seconds), series (a name, in the order of the DataFrame) and value; the values may be
    points: a column mark that is "dot". events are (t, name) pairs. colours: {series: colour}, blue if not given.
    """
    style.need(frame, ["t", "series", "value"], "time_rows")
    series = read_series(frame)
    events = sorted(events)
    floors = 0.3 if events else 0.05
    height = floors + ROW * len(series) + 0.42 if series else 0.5
    figure, ax = style.card(height, title or default_title(series), note or default_note(series))
    if not series:
        ax.text(MARGIN, 0.2, "nothing was measured", size=LABEL, color=MUTED, va="center")
        return figure, "Nothing was measured."
    left, right = MARGIN + LABEL_ROOM, WIDTH - MARGIN - 0.75
    span = time_span(series, events)
    bottom = floors + ROW * len(series)
    for number, (name, mine) in enumerate(series.items()):
        inner = style.chart(figure, ax, left, floors + ROW * number + ROW - TALL, right, floors + ROW * (number + 1))
        draw_row(inner, mine, span, (colours or {}).get(name, style.BLUE), last=number == len(series) - 1)
        label_row(ax, name, mine, floors + ROW * (number + 1), right)
    draw_events(ax, events, lambda t: left + (right - left) * (t - span[0]) / (span[1] - span[0]), floors, bottom)
    ax.text((left + right) / 2, bottom + 0.34, "seconds", size=SMALL, color=MUTED, ha="center", va="center")
    return figure, text(series, events)


def read_series(frame):
    """A dict from each series' name to its DataFrame, by time. Raises DrawError for too many."""
    found = frame.dropna(subset=["t", "value"]).astype({"t": float, "value": float})
    names = list(dict.fromkeys(found["series"]))
    if len(names) > MOST_ROWS:
        raise style.DrawError(f"draw.time_rows draws at most {MOST_ROWS} series, these are {len(names)}.")
    return {name: found[found["series"] == name].sort_values("t", kind="stable") for name in names}


def time_span(series, events):
    """The first and last second to draw."""
    moments = [t for mine in series.values() for t in (mine["t"].min(), mine["t"].max())] + [t for t, _ in events]
    return min(moments), max(max(moments), min(moments) + 1)


def draw_row(inner, mine, span, colour, last):
    """A line with the area below it, or dots."""
    highest = mine["value"].max()
    if "mark" in mine and (mine["mark"] == "dot").any():
        inner.plot(mine["t"], mine["value"], ".", color=colour, markersize=3, clip_on=False)
    else:
        inner.plot(mine["t"], mine["value"], color=colour, linewidth=1.6, solid_joinstyle="round", clip_on=False)
        inner.fill_between(mine["t"], mine["value"], color=style.tint(colour, 0.15), linewidth=0)
    if highest > 0:
        peak = mine.loc[mine["value"].idxmax()]
        inner.plot(peak["t"], peak["value"], "o", color=INK, markersize=4, clip_on=False, zorder=5)
    inner.set(xlim=span, ylim=(0, max(highest, 1e-9) * 1.05), yticks=[])
    inner.grid(axis="x", color=HAIRLINE, linewidth=0.8)
    inner.set_axisbelow(True)
    inner.axhline(0, color=LINE, linewidth=0.8)
    inner.tick_params(axis="x", labelbottom=last, pad=5)
    inner.xaxis.set_major_formatter("{x:g}")


def label_row(ax, name, mine, bottom, right):
    """The name on the left, the highest value on the right."""
    ax.text(MARGIN, bottom - TALL / 2, style.shorten(name, LABEL_ROOM - 0.1, SMALL), size=SMALL, va="center_baseline")
    at = bottom - TALL / 2
    ax.text(right + 0.12, at - 0.08, show(mine["value"].max()), size=SMALL, weight="bold", va="center_baseline")
    ax.text(right + 0.12, at + 0.09, "at most", size=TINY, color=MUTED, va="center_baseline")


def draw_events(ax, events, place, top, bottom):
    """Dotted lines through all rows, with their names on top where there is room."""
    edge = MARGIN
    for t, name in events:
        x, half = place(t), style.text_width(name, SMALL) / 2
        ax.plot([x, x], [top, bottom], color=INK, linewidth=1.2, linestyle=(0, (1, 1.6)), zorder=6)
        middle = min(max(x, edge + half), WIDTH - MARGIN - half)
        ax.text(middle, top - 0.13, name, size=SMALL, ha="center", va="center_baseline")
        edge = middle + half + 0.12


def show(value):
    """A value in a few digits."""
    return (
        f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2g}" if value < 10 else f"{value:,.1f}"
    )


def default_note(series):
    most = max((len(mine) for mine in series.values()), default=0)
    return f"{count(most, 'measurement')} · each row has its own scale · dot: its highest value"


def default_title(series):
    """The row with the highest value."""
    if not series:
        return "Nothing was measured"
    name = max(series, key=lambda one: series[one]["value"].max())
    return f"{name} reaches {show(series[name]['value'].max())}"


def text(series, events):
    """The figure in words."""
    said = []
    for name, mine in series.items():
        peak = mine.loc[mine["value"].idxmax()]
        end = "" if "mark" in mine and pd.notna(mine["mark"]).any() else f", {show(mine['value'].iloc[-1])} at the end"
        said.append(f"{name}: at most {show(peak['value'])} at {peak['t']:.1f} s{end}")
    return "; ".join(said + [f"{name} at {t:.1f} s" for t, name in events]) + "."

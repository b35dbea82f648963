"""A measured number for each of a few settings, against a baseline."""

import math

import pandas as pd

from . import style
from .style import BLUE, INK, LABEL, MARGIN, MUTED, WIDTH, DrawError, box

BAR, PITCH = 0.3, 0.42  # inches


@style.in_house_style
def bars_figure(frame, x, y, baseline=None, title=None, note=None):
    """Draws a horizontal bar for each row: the name in column x, the number in column y, not below 0.

    baseline is one of the names: a dashed line stands at its value, and the others say how many times it they are.
    note replaces the muted line.
    """
    style.need(frame, [x, y], "bars")
    rows = [
        (style.name_of(name), None if pd.isna(value) else float(value))
        for name, value in zip(frame[x], frame[y], strict=True)
    ]
    if any(value is not None and value < 0 for _, value in rows):
        raise DrawError(f"draw.bars draws numbers from 0 up; the column {y} has some below 0.")
    base = find_base(rows, baseline)
    figure, ax = style.card(
        PITCH * max(len(rows), 1) + 0.2,
        title or default_title(rows, y, baseline, base),
        note or default_note(y, baseline),
    )
    if not rows:
        ax.text(MARGIN, 0.2, "nothing to compare", size=LABEL, color=MUTED, va="center")
        return figure, "Nothing to compare."
    names = [style.shorten(name, 2.6, LABEL) for name, _ in rows]
    left = MARGIN + max(style.text_width(name, LABEL) for name in names) + 0.15
    ends = [value_label(value, base if name != str(baseline) else None) for name, value in rows]
    room = WIDTH - MARGIN - left - max(style.text_width(value + ratio, LABEL, "bold") for value, ratio in ends) - 0.3
    most = max((value or 0 for _, value in rows), default=0) or 1
    for number, ((name, value), label, end) in enumerate(zip(rows, names, ends, strict=True)):
        middle = number * PITCH + 0.08 + BAR / 2
        ax.text(MARGIN, middle, label, size=LABEL, va="center_baseline")
        long = room * (value or 0) / most
        fill = style.OTHER if name == str(baseline) else BLUE
        if long > 0.005:
            box(ax, left, middle - BAR / 2, long, BAR, fill)
        draw_end(ax, left + long + 0.1, middle, *end)
    if base:
        at = left + room * base / most
        ax.plot([at, at], [0.02, PITCH * len(rows) + 0.05], color=INK, linewidth=1.2, linestyle=(0, (3, 2)), zorder=3)
    return figure, text(rows, y, baseline, base)


def find_base(rows, baseline):
    """The baseline's value; None without a baseline."""
    if baseline is None or not rows:
        return None
    values = dict(rows)
    if str(baseline) not in values:
        raise DrawError(f"draw.bars has no row for the baseline {baseline}; there are {style.listed(values)}.")
    return values[str(baseline)]


def draw_end(ax, x, y, value, ratio):
    """The value at the bar's end, and the ratio after it."""
    cut = {"boxstyle": "square,pad=0.1", "facecolor": "white", "linewidth": 0}
    ax.text(x, y, value, size=LABEL, weight="bold", va="center_baseline", bbox=cut, zorder=4)
    if ratio:
        x += style.text_width(value, LABEL, "bold")
        ax.text(x, y, ratio, size=LABEL, color=MUTED, va="center_baseline", bbox=cut, zorder=4)


def value_label(value, base):
    """The number as text, and how many times the base it is."""
    if value is None:
        return "not measured", ""
    return number(value), f"  × {ratio(value / base)}" if base else ""


def number(value):
    """Whole from 100 on, else three digits that count."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def ratio(value):
    """Two digits that count, and no more decimals than that."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def default_note(y, baseline):
    """The muted line."""
    return f"{y} · dashed: {baseline}" if baseline is not None else f"{y}"


def default_title(rows, y, baseline, base):
    """The row that differs most from the baseline; without one, the highest."""
    measured = {name: value for name, value in rows if value is not None}
    others = {name: value / base for name, value in measured.items() if value and base and name != str(baseline)}
    if others:
        name = max(others, key=lambda name: abs(math.log(others[name])))
        return f"{name}: {ratio(others[name])} times the {y} of {baseline}"
    return f"{y}: highest with {max(measured, key=measured.get)}" if measured else "Nothing was measured"


def text(rows, y, baseline, base):
    """The figure in words."""
    said = [
        "".join((f"{name}: ", *value_label(value, base if name != str(baseline) else None))) for name, value in rows
    ]
    end = f" (× against {baseline})" if base else ""
    return f"{y}{end}: " + "; ".join(line.replace("  ×", ", ×") for line in said) + "."

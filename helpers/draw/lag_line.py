"""The lag over time."""

from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from . import style
from .style import BLUE, HAIRLINE, INK, LABEL, MARGIN, MUTED, SMALL, WIDTH, DrawError, count

TALL = 2.1  # inches
MOST_LINES = 6


@style.in_house_style
def lag_figure(frame, events=(), title=None, group=None):
    """Draws the lag as a line over seconds, one for each partition if there are several.

    frame has the columns t (seconds) and lag, and may have partition. events are (t, name) pairs. With more than six
    partitions the line is their sum, which needs all of them measured at the same moments.
    """
    style.need(frame, ["t", "lag"], "lag")
    events = sorted(events)
    lines = read_lines(frame)
    widths = [style.text_width(name, SMALL) + 0.12 for _, name in events]
    span = time_span(lines, events)
    left = MARGIN + 0.75
    right = WIDTH - MARGIN - (1.0 if len(lines) > 1 else 0.25)
    wanted = [left + (right - left) * (t - span[0]) / (span[1] - span[0]) for t, _ in events]
    wanted = [min(max(x, w / 2), WIDTH - MARGIN / 2 - w / 2) for x, w in zip(wanted, widths, strict=True)]
    floors = style.levels(wanted, widths)
    top = 0.12 + 0.22 * (max(floors) + 1 if floors else 0)
    title = title or default_title(lines, group)
    if not lines:
        figure, ax = style.card(0.5, title, note(frame, lines, group))
        ax.text(MARGIN, 0.2, "nothing was measured", size=LABEL, color=MUTED, va="center")
        return figure, "No lag was measured."
    figure, ax = style.card(top + TALL + 0.5, title, note(frame, lines, group))
    inner = style.chart(figure, ax, left, top, right, top + TALL)
    draw_lines(inner, lines)
    inner.set(xlim=span, ylim=(0, max(1, *[line["lag"].max() for line in lines.values()]) * 1.16))
    dress(inner)
    label_ends(ax, inner, lines, right, top)
    ax.text(
        MARGIN + 0.06, top + TALL / 2, "lag (records)", size=SMALL, color=MUTED, rotation=90, ha="center", va="center"
    )
    ax.text((left + right) / 2, top + TALL + 0.38, "seconds", size=SMALL, color=MUTED, ha="center", va="center")
    for (t, name), x, floor in zip(events, wanted, floors, strict=True):
        draw_event(ax, left + (right - left) * (t - span[0]) / (span[1] - span[0]), x, name, floor, top)
    return figure, text(lines, events)


def read_lines(frame):
    """A DataFrame with t and lag for each line, by its name, in the order of partitions."""
    found = frame.dropna(subset=["t", "lag"]).astype({"t": float, "lag": float}).sort_values("t", kind="stable")
    if not len(found):
        return {}
    if "partition" not in found or found["partition"].nunique() == 1:
        return {"lag": found}
    if found["partition"].nunique() <= MOST_LINES:
        return {f"partition {int(number)}": mine for number, mine in found.groupby("partition")}
    moments = found.groupby("t")["lag"]
    if moments.size().nunique() > 1:
        raise DrawError("draw.lag adds up more than six partitions only if each has a lag at every t.")
    return {f"{found['partition'].nunique()} partitions together": moments.sum().reset_index()}


def time_span(lines, events):
    """The first and last second to draw."""
    moments = [t for line in lines.values() for t in (line["t"].min(), line["t"].max())] + [t for t, _ in events]
    first, last = min(moments, default=0), max(moments, default=1)
    return first, last if last > first else first + 1


def draw_lines(inner, lines):
    """Each line with its peak; the area below it, if it is the only one."""
    for colour, line in zip(style.IDENTITY, lines.values(), strict=False):
        inner.plot(line["t"], line["lag"], color=colour, linewidth=2, solid_joinstyle="round", clip_on=False)
        if len(line) == 1:
            inner.plot(line["t"], line["lag"], "o", color=colour, clip_on=False)
    if len(lines) == 1:
        [line] = lines.values()
        inner.fill_between(line["t"], line["lag"], color=style.tint(BLUE, 0.15), linewidth=0)
    _, line = worst(lines)
    peak = line.loc[line["lag"].idxmax()]
    if not peak["lag"]:
        return
    inner.plot(peak["t"], peak["lag"], "o", color=INK, markersize=5, clip_on=False)
    low, high = line["t"].min(), line["t"].max()
    side = (
        "left"
        if peak["t"] < low + (high - low) * 0.1
        else "right"
        if peak["t"] > high - (high - low) * 0.1
        else "center"
    )
    above = {"xytext": (0, 7), "textcoords": "offset points", "ha": side, "size": SMALL, "weight": "bold"}
    cut = {"boxstyle": "square,pad=0.15", "facecolor": "white", "linewidth": 0}
    inner.annotate(f"{peak['lag']:,.0f}", (peak["t"], peak["lag"]), **above, bbox=cut, zorder=5)


def dress(inner):
    """Few, whole numbers on the axes and hairlines at them."""
    top = inner.get_ylim()[1]
    inner.set_yticks([tick for tick in MaxNLocator(4, integer=True).tick_values(0, top) if tick <= top])
    inner.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    inner.grid(axis="y", color=HAIRLINE, linewidth=0.8)
    inner.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    inner.set_axisbelow(True)
    inner.tick_params(axis="x", pad=6)


def label_ends(ax, inner, lines, right, top):
    """The name of each line at its end; in their order, not on each other."""
    if len(lines) == 1:
        return
    scale = TALL / inner.get_ylim()[1]
    wanted = [top + TALL - line["lag"].iloc[-1] * scale for line in lines.values()]
    places = style.spread(wanted, [0.17] * len(lines), top, top + TALL + 0.08)
    for name, colour, y in zip(lines, style.IDENTITY, places, strict=False):
        ax.plot([right + 0.08, right + 0.2], [y, y], color=colour, linewidth=3)
        ax.text(right + 0.26, y, name, size=SMALL, va="center")


def draw_event(ax, x, label_x, name, floor, top):
    """A dotted line with its name on top."""
    y = top - 0.1 - 0.22 * floor
    ax.plot([x, x], [y, top + TALL], color=INK, linewidth=1.3, linestyle=(0, (1, 1.6)))
    cut = {"boxstyle": "square,pad=0.12", "facecolor": "white", "linewidth": 0}
    ax.text(label_x, y, name, size=SMALL, ha="center", va="center", bbox=cut, zorder=6)


def worst(lines):
    """The name and the DataFrame of the line with the highest lag."""
    return max(lines.items(), key=lambda item: item[1]["lag"].max())


def note(frame, lines, group):
    """The muted line."""
    parts = [f"group {group}"] if group else []
    parts += [name for name in lines if name.endswith("together")]
    return " · ".join([*parts, count(len(frame), "measurement"), "lag: records written and not yet committed"])


def default_title(lines, group):
    """The peak, and how it ends."""
    if not lines:
        return "No lag was measured"
    name, line = worst(lines)
    peak, last = line["lag"].max(), line["lag"].iloc[-1]
    if not peak:
        return "The lag is 0 all the time"
    where = f" in {name}" if name.startswith("partition") else ""
    who = f"The lag of {group}" if group else "The lag"
    if last == peak:
        return f"{who}{where} grows to {count(int(peak), 'record')}"
    return f"{who} peaks at {count(int(peak), 'record')}{where} and ends at {last:,.0f}"


def text(lines, events):
    """The figure in words."""
    said = []
    for name, line in lines.items():
        peak = line.loc[line["lag"].idxmax()]
        start, end = line["lag"].iloc[0], line["lag"].iloc[-1]
        said.append(
            f"{name}: {start:,.0f} at first, at most {peak['lag']:,.0f} at {peak['t']:.1f} s, {end:,.0f} at the end"
        )
    happened = "".join(f"; {name} at {t:.1f} s" for t, name in events)
    return "; ".join(said) + happened + "."

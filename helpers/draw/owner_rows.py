"""Who owned each partition of a group when, with the records handled and the lag on the same time axis."""

from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from . import style
from .lag_line import draw_lines, dress, read_lines
from .style import INK, LABEL, LINE, MARGIN, MUTED, SMALL, TINY, VERMILION, WIDTH, box, count, listed

ROW, BAR = 0.42, 0.25  # inches: from row to row, and a bar
MOST_ROWS = 5.5  # inches
PANEL, HEAD = 0.85, 0.34  # inches: a chart below the rows, and its name above it
FLOOR = 0.21  # inches, a line of the names of events
ENDS = ("left", "returned", "killed", "crashed")
WORDS = {  # of one member, of several, and after it
    "joining": ("joins", "join", "joined"),
    "left": ("leaves", "leave", "left"),
    "returned": ("ends", "end", "ended"),
    "killed": ("killed", "killed", "was killed"),
    "crashed": ("crashes", "crash", "crashed"),
    "lost": ("thrown out", "thrown out", "was thrown out"),
    "paused": ("paused", "paused", "was paused"),
    "resumed": ("resumed", "resumed", "was resumed"),
}


@style.in_house_style
def ownership_figure(timeline, lag=None, title=None, group=None, colours=None):
    """Draws a row for each partition with its owners over seconds; hatched is the time when nobody owned it.

    timeline has the columns t (seconds), member, event, partitions (a list) and may have topic. Its events assigned,
    revoked, lost, paused, resumed, joining, left, returned, killed and crashed are drawn, and handled as records per
    second. lag is a DataFrame with the columns t and lag.
    """
    style.need(timeline, ["t", "member", "event", "partitions"], "ownership")
    if lag is not None:
        style.need(lag, ["t", "lag"], "ownership")
    events = timeline.astype({"t": float}).sort_values("t", kind="stable")
    lines = {} if lag is None else read_lines(lag[["t", "lag"]])
    moments = [*events["t"], *(t for line in lines.values() for t in line["t"])]
    begin, end = (min(moments), max(moments)) if moments else (0, 1)
    end = max(end, begin + 0.001)
    spans = read_spans(events, end)
    gaps = read_gaps(events, spans, end)
    marks = together(events, (end - begin) * 0.012)
    colours = style.palette(events["member"]) if colours is None else colours
    heading = title or default_title(gaps, marks, spans), note(events, spans, gaps, group)
    if not spans:
        figure, ax = style.card(0.5, *heading)
        ax.text(MARGIN, 0.2, "no partition was assigned", size=LABEL, color=MUTED, va="center")
        return figure, "No partition was assigned."
    left = MARGIN + max(style.text_width(name, LABEL) for name in spans) + 0.18
    right = WIDTH - MARGIN - 0.15
    place = scale(begin, end, left, right)
    names, floors = mark_places(marks, place)
    top = 0.16 + FLOOR * (max(floors, default=-1) + 1)
    row = min(ROW, MOST_ROWS / len(spans))
    handled = events[events["event"] == "handled"]
    panels = [(draw_handled, handled)] * bool(len(handled)) + [(draw_lag, lines)] * bool(lines)
    bottom = top + row * len(spans) + (HEAD + PANEL) * len(panels) + 0.08
    figure, ax = style.card(bottom + 0.48, *heading)
    for (t, name, _), x, floor in zip(marks, names, floors, strict=True):
        draw_mark(ax, place(t), x, name, top - 0.15 - FLOOR * floor, bottom)
    for number, (name, mine) in enumerate(spans.items()):
        draw_row(ax, name, mine, [gap for gap in gaps if gap[0] == name], colours, place, top + row * number, row)
    for number, (draw, data) in enumerate(panels):
        panel_top = top + row * len(spans) + HEAD + (HEAD + PANEL) * number
        inner = style.chart(figure, ax, left, panel_top, right, panel_top + PANEL)
        says = draw(inner, data, colours, (begin, end))
        cut = {"boxstyle": "square,pad=0.15", "facecolor": "white", "linewidth": 0}
        ax.text(left + 0.02, panel_top - 0.13, says, size=SMALL, color=MUTED, va="center_baseline", bbox=cut)
    draw_seconds(ax, begin, end, place, bottom)
    return figure, text(spans, gaps, marks, handled, lines)


def scale(low, high, start, end):
    """A function from low..high to start..end."""
    return lambda value: start + (end - start) * (value - low) / (high - low)


def rows_of(event, topics):
    """The names of the rows that an event is about."""
    about = f"{event.topic} " if topics > 1 else "partition "
    return [f"{about}{partition}" for partition in event.partitions]


def read_spans(events, end):
    """A dict from each row's name to its owners by time: (member, from, to, paused, event that ended it)."""
    topics = events["topic"].nunique() if "topic" in events else 1
    spans, now = {}, {}

    def close(row, t, how):
        member, since, paused = now.pop(row)
        spans.setdefault(row, []).append((member, since, t, paused, how))

    for event in events.itertuples():
        mine = [row for row, (member, _, _) in now.items() if member == event.member]
        if event.event == "assigned":
            for row in rows_of(event, topics):
                if row in now:  # of a member that does not know yet that it is out
                    close(row, event.t, "taken")
                now[row] = (event.member, event.t, False)
        elif event.event in ("revoked", "lost"):
            for row in set(rows_of(event, topics)) & set(mine):
                close(row, event.t, event.event)
        elif event.event in ENDS:
            for row in mine:
                close(row, event.t, event.event)
        elif event.event in ("paused", "resumed"):
            for row in mine:
                close(row, event.t, event.event)
                now[row] = (event.member, event.t, event.event == "paused")
    for row in list(now):
        close(row, end, "")
    return {row: spans[row] for row in sorted(spans, key=style.natural)}


def read_gaps(events, spans, end):
    """(row, from, to) of the times without an owner: between two owners, and at the end if somebody still runs."""
    last = events[events["event"].isin([*ENDS, "started", "joining", "assigned"])].groupby("member")["event"].last()
    somebody = (~last.isin(ENDS)).any()
    gaps = []
    for row, owners in spans.items():
        ends = [to for _, _, to, _, _ in owners]
        begins = [since for _, since, _, _, _ in owners[1:]] + [end if somebody else ends[-1]]
        gaps += [(row, to, since) for to, since in zip(ends, begins, strict=True) if since > to]
    return gaps


def together(events, near):
    """(t, name, name afterwards) of what happened to members; what is near in time and alike has one name."""
    found = []
    for event in events[events["event"].isin(WORDS)].itertuples():
        before = next((mark for mark in reversed(found) if mark[1] == event.event), None)
        if before and event.t - before[0] <= near:
            before[2].append(event.member)
        else:
            found.append((event.t, event.event, [event.member]))
    return [
        (t, f"{listed(members, 3)} {WORDS[kind][len(members) > 1]}", f"{listed(members, 3)} {WORDS[kind][2]}")
        for t, kind, members in found
    ]


def mark_places(marks, place):
    """For each mark the x of its name, and the line above the rows where the name stands."""
    widths = [style.text_width(name, SMALL) + 0.12 for _, name, _ in marks]
    names = [min(max(place(t), w / 2 + 0.06), WIDTH - w / 2 - 0.06) for (t, _, _), w in zip(marks, widths, strict=True)]
    return names, style.levels(names, widths)


def draw_mark(ax, x, name_x, name, y, bottom):
    """A dotted line with its name on top, behind the owners."""
    ax.plot([x, x], [y, bottom], color=INK, linewidth=1.2, linestyle=(0, (1, 1.6)), zorder=0.9)
    cut = {"boxstyle": "square,pad=0.12", "facecolor": "white", "linewidth": 0}
    ax.text(name_x, y, name, size=SMALL, ha="center", va="center", bbox=cut)


def draw_row(ax, name, owners, gaps, colours, place, top, row):
    """The owners of a partition as boxes, hatches between them."""
    bar = BAR * row / ROW
    middle, size = top + row / 2 + 0.04, min(LABEL, 72 * bar)
    ax.text(MARGIN, middle, name, size=size, va="center")
    labels = []
    for _, since, to in sorted(gaps, key=lambda gap: gap[1] - gap[2]):
        draw_gap(ax, place(since), place(to), middle, bar, seconds(to - since), labels)
    for member, since, to, paused, how in owners:
        x, wide, colour = place(since), place(to) - place(since), style.colour_of(member, colours)
        fill = style.tint(colour, 0.25) if paused else colour
        look = {"edgecolor": colour, "linewidth": 1.2, "linestyle": (0, (1, 1.6))} if paused else {}
        box(ax, x, middle - bar / 2, max(wide, 0.01), bar, fill, **look)
        says = f"{member}, paused" if paused else member
        if bar > 0.15 and style.text_width(says, SMALL, "bold") + 0.16 < wide:
            on = {"size": SMALL, "weight": "bold", "color": style.text_on(fill)}
            ax.text(x + 0.08, middle, says, va="center_baseline", **on)
        if how in ("killed", "crashed"):
            ax.plot(x + wide + 0.09, middle, "X", color=VERMILION, markersize=8, markeredgecolor="white", zorder=6)


def draw_gap(ax, since, to, middle, bar, label, labels):
    """A hatch, and how long it is: on it, above it where it is too narrow, or nowhere if another label is there."""
    look = {"facecolor": "white", "edgecolor": LINE, "linewidth": 0, "hatch": "//////"}
    ax.add_patch(Rectangle((since, middle - bar / 2), to - since, bar, **look))
    wide, x = style.text_width(label, TINY), (since + to) / 2
    inside = wide + 0.12 < to - since
    if bar < 0.15 or any(abs(x - other) < (wide + width) / 2 + 0.05 for other, width in labels):
        return
    labels.append((x, wide))
    y = middle if inside else middle - bar / 2 - 0.075
    cut = {"boxstyle": "square,pad=0.15", "facecolor": "white", "linewidth": 0}
    ax.text(x, y, label, size=TINY, color=MUTED, ha="center", va="center", bbox=cut, zorder=5)


def draw_handled(inner, handled, colours, span):
    """Bars of the records handled per second, by member; returns the name of the chart."""
    wide = style.round_step((span[1] - span[0]) / 70 * 1000) / 1000
    bins = ((handled["t"] - span[0]) // wide).astype(int)
    counts = handled.groupby([bins, "member"]).size().unstack(fill_value=0) / wide
    below, x = counts.sum(axis=1) * 0, span[0] + counts.index * wide
    widths = [min(0.88 * wide, span[1] - start) for start in x]
    for member in sorted(counts, key=style.natural):
        colour = style.colour_of(member, colours)
        inner.bar(x, counts[member], widths, bottom=below, align="edge", color=colour, linewidth=0)
        below = below + counts[member]
    inner.set(xlim=span, ylim=(0, max(1, below.max()) * 1.1))
    undress(inner)
    return "records handled per second"


def draw_lag(inner, lines, colours, span):
    """The lag as a line; returns the name of the chart."""
    draw_lines(inner, lines)
    inner.set(xlim=span, ylim=(0, max(1, *(line["lag"].max() for line in lines.values())) * 1.3))
    undress(inner)
    return "lag (records)"


def undress(inner):
    """As in the figure of the lag, without seconds: they stand below the last chart."""
    dress(inner)
    inner.tick_params(axis="x", labelbottom=False)


def draw_seconds(ax, begin, end, place, y):
    """The time axis."""
    ax.plot([place(begin), place(end)], [y, y], color=LINE, linewidth=0.8)
    ticks = MaxNLocator(9, steps=[1, 2, 5, 10]).tick_values(begin, end)
    digits = max(len(f"{tick:g}".partition(".")[2]) for tick in ticks)
    for tick in ticks:
        if begin - 1e-9 <= tick <= end:
            ax.plot([place(tick)] * 2, [y, y + 0.04], color=LINE, linewidth=0.8)
            ax.text(place(tick), y + 0.13, f"{tick:.{digits}f}", size=SMALL, color=MUTED, ha="center", va="center")
    ax.text((place(begin) + place(end)) / 2, y + 0.33, "seconds", size=SMALL, color=MUTED, ha="center", va="center")


def seconds(length):
    """'3.1 s', '0.07 s'"""
    return f"{length:.1f} s" if length >= 0.95 else f"{length:.2f} s"


def note(events, spans, gaps, group):
    """The muted line."""
    parts = [f"group {group}"] if group else []
    parts += [count(len(spans), "partition"), f"members {listed(sorted(events['member'].unique(), key=style.natural))}"]
    parts += ["hatched: nobody owns the partition"] if gaps else []
    ends = {how for owners in spans.values() for *_, how in owners}
    parts += [f"cross: {listed(sorted(ends & {'killed', 'crashed'}))}"] if ends & {"killed", "crashed"} else []
    return " · ".join(parts)


def default_title(gaps, marks, spans):
    """The longest time without an owner, of how many partitions, and what had happened."""
    if not spans:
        return "Nobody owned a partition"
    if not gaps:
        return "Every partition had an owner all the time"
    _, since, to = max(gaps, key=lambda gap: gap[2] - gap[1])
    rows = [row for row, a, b in gaps if a < to and b > since and b - a > (to - since) / 2]
    before = [after for t, _, after in marks if t <= since + 0.001]
    who = count(len(rows), "partition") if len(rows) > 1 else rows[0].capitalize()
    return f"{who} had no owner for {seconds(to - since)}" + (f" after {before[-1]}" if before else "")


def text(spans, gaps, marks, handled, lines):
    """The figure in words."""
    said = []
    for row, owners in spans.items():
        without = sum(to - since for name, since, to in gaps if name == row)
        took = [f"{member} from {since:.1f} s" for member, since, _, paused, _ in owners if not paused]
        said.append(f"{row}: {listed(took, 8)}" + (f", no owner for {without:.2f} s" if without else ""))
    said = [*said[:12], *([f"{len(said) - 12} rows more"] if len(said) > 12 else [])]
    said += [f"{name} at {t:.1f} s" for t, name, _ in marks]
    if len(handled):
        said.append(f"handled by {listed(f'{m} {n:,}' for m, n in handled.groupby('member').size().items())}")
    for line in lines.values():
        said.append(f"lag at most {line['lag'].max():,.0f}, {line['lag'].iloc[-1]:,.0f} at the end")
    return "; ".join(said) + "."

"""The flow from keys to partitions."""

from matplotlib.patches import PathPatch
from matplotlib.path import Path

from . import style
from .style import LABEL, MARGIN, MUTED, NULL, SMALL, box, count

MOST_KEYS = 12
LEFT, RIGHT, BLOCK = 2.3, 7.2, 0.14  # inches: the columns of keys and partitions, and how wide a block is
TOP, GAP, BANDS = 0.2, 0.22, 1.5  # inches: above the first block, at least between two, and all bands together


@style.in_house_style
def keys_to_partitions_figure(records, title=None, topic=None, partitions=None, colours=None):
    """Draws a band from each key to each partition that holds its records, as wide as the records are many.

    records has the columns key and partition. The most frequent keys are drawn, the others as one. partitions is how
    many there are, to see the empty ones.
    """
    style.need(records, ["key", "partition"], "keys_to_partitions")
    keys = records["key"].map(style.name_of).astype(object)
    colours = style.palette(keys, colours)
    groups = keys.map(group_names(keys))
    flows = records.assign(key=groups).groupby(["key", "partition"]).size().to_dict()
    numbers = sorted({int(number) for number in records["partition"]} | set(range(partitions or 0)))
    title = title or default_title(keys, records["partition"], numbers)
    names = sorted(set(groups), key=lambda name: (name not in set(keys), name == NULL, style.natural(name)))

    tall = BANDS + GAP * (max(len(names), len(numbers)) - 1)
    figure, ax = style.card(tall + TOP + 0.25 if len(records) else 0.5, title, note(keys, numbers, topic))
    if not len(records):
        ax.text(MARGIN, 0.2, "no records", size=LABEL, color=MUTED, va="center")
        return figure, "No records to draw."
    sources = stack([sum(n for (key, _), n in flows.items() if key == name) for name in names], tall)
    targets = stack([sum(n for (_, to), n in flows.items() if to == number) for number in numbers], tall)
    draw_bands(ax, flows, dict(zip(names, sources, strict=True)), dict(zip(numbers, targets, strict=True)), colours)
    for name, (top, height, number) in zip(names, sources, strict=True):
        draw_key(ax, name, top, height, number, style.colour_of(name, colours))
    for number, (top, height, records_there) in zip(numbers, targets, strict=True):
        draw_partition(ax, number, top, height, records_there)
    return figure, text(keys, records["partition"], numbers, topic)


def group_names(keys):
    """A dict from each key to itself, or to one name for all keys that are too many to draw."""
    counts = keys.value_counts()
    order = sorted(counts.index, key=lambda key: (-counts[key], style.natural(key)))
    if len(order) <= MOST_KEYS:
        return {key: key for key in order}
    rest = count(len(order) - MOST_KEYS + 1, "other key")
    return {key: key if place < MOST_KEYS - 1 else rest for place, key in enumerate(order)}


def stack(counts, tall):
    """(top, height, count) of each block; heights are in proportion, and the gaps between them are equal."""
    gap = (tall - BANDS) / (len(counts) - 1) if len(counts) > 1 else 0
    blocks, top = [], TOP if len(counts) > 1 else TOP + (tall - BANDS) / 2
    for number in counts:
        height = BANDS * number / sum(counts)
        blocks.append((top, height, number))
        top += height + gap
    return blocks


def draw_bands(ax, flows, sources, targets, colours):
    """A band for each key and partition, from its part of the key's block to its part of the partition's."""
    left, right = {name: top for name, (top, _, _) in sources.items()}, {to: top for to, (top, _, _) in targets.items()}
    for name, (_, height, total) in sources.items():
        for to, (_, target_height, target_total) in targets.items():
            number = flows.get((name, to), 0)
            if not number:
                continue
            start, end = height * number / total, target_height * number / target_total
            ax.add_patch(band(left[name], start, right[to], end, style.colour_of(name, colours)))
            left[name] += start
            right[to] += end


def band(left, start, right, end, colour):
    """A curved band between two blocks, given the tops and heights of its ends."""
    x0, x1, middle = LEFT + BLOCK, RIGHT, (LEFT + BLOCK + RIGHT) / 2
    points = [(x0, left), (middle, left), (middle, right), (x1, right)]
    points += [(x1, right + end), (middle, right + end), (middle, left + start), (x0, left + start), (x0, left)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    return PathPatch(Path(points, codes), facecolor=colour, alpha=0.8 if colour == style.NO_KEY else 0.45, linewidth=0)


def draw_key(ax, name, top, height, number, colour):
    """A key's block, its name and its number of records to the left."""
    box(ax, LEFT, top, BLOCK, height, colour)
    middle, wide = top + height / 2, style.text_width(f"{number:,}", SMALL)
    ax.text(LEFT - 0.1, middle, f"{number:,}", size=SMALL, color=MUTED, ha="right", va="center_baseline")
    label = style.shorten("no key" if name == NULL else name, LEFT - MARGIN - wide - 0.25, LABEL)
    ax.text(LEFT - 0.2 - wide, middle, label, size=LABEL, ha="right", va="center_baseline")


def draw_partition(ax, number, top, height, records):
    """A partition's block, its name and its number of records to the right."""
    middle, label = top + height / 2, f"partition {number}"
    if records:
        box(ax, RIGHT, top, BLOCK, height, style.INK)
    else:
        box(ax, RIGHT, middle - BLOCK / 2, BLOCK, BLOCK)
    ax.text(RIGHT + BLOCK + 0.1, middle, label, size=LABEL, va="center_baseline")
    x = RIGHT + BLOCK + 0.2 + style.text_width(label, LABEL)
    ax.text(x, middle, f"{records:,}" if records else "empty", size=SMALL, color=MUTED, va="center_baseline")


def note(keys, numbers, topic):
    """The muted line."""
    parts = [f"topic {topic}"] if topic else []
    named = keys[keys != NULL].nunique()
    return " · ".join([*parts, count(len(keys), "record"), count(named, "key"), count(len(numbers), "partition")])


def default_title(keys, partitions, numbers):
    """Whether each key has one partition."""
    keyed = keys != NULL
    if not len(keys):
        return "No records"
    if not keyed.any():
        return f"Records without a key went to {partitions.nunique()} of {count(len(numbers), 'partition')}"
    homes = partitions[keyed].groupby(keys[keyed]).nunique()
    torn = sorted(homes[homes > 1].index, key=style.natural)
    if not torn:
        return "Each key has its one partition"
    return f"{style.listed(torn, 4)} {'is' if len(torn) == 1 else 'are'} in more than one partition"


def text(keys, partitions, numbers, topic):
    """The figure in words."""
    said = []
    for number in numbers:
        mine = keys[partitions == number].value_counts()
        order = sorted(mine.index, key=lambda key: (-mine[key], style.natural(key)))
        named = style.listed([f"{'records without a key' if key == NULL else key} ({mine[key]:,})" for key in order])
        said.append(f"partition {number} gets {named}" if named else f"partition {number} gets nothing")
    return (f"{topic}: " if topic else "") + "; ".join(said) + "."

"""make bench: how fast the lab is, as ratios in one run. Prints a table and writes bench/results.json.

python -m bench [PART ...]      clones (needs the network) and chapters take minutes, and are measured when named
"""

import argparse
import json
from pathlib import Path

from bench import chapters, compose, lab, observe, shop

RESULTS = Path(__file__).parent / "results.json"
PARTS = {
    "lab": lab.measure,
    "observe": observe.measure,
    "shop": shop.measure,
    "compose": compose.measure,
    "clones": lab.fresh_clones,
    "chapters": chapters.measure,
}
UNASKED = ["lab", "observe", "shop", "compose"]


def table(rows):
    """The rows as aligned text."""
    lines = [("name", "figure", "baseline", "ratio")]
    lines += [(r["name"], f"{r['value']:.3g} {r['unit']}", number(r["baseline"]), number(r["ratio"])) for r in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def number(value):
    """A figure, or nothing where there is none to compare with."""
    return "" if value is None else f"{value:.3g}"


def main():
    """Measures, writes each part as it is done, and prints all rows."""
    parser = argparse.ArgumentParser(description="How fast the lab is.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: {' '.join(UNASKED)}")
    chosen = parser.parse_args().parts or UNASKED
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    for name in chosen:
        rows = record(PARTS[name]())
    print(table(rows))


def record(measured):
    """All rows, those just measured before those of other times, as they now stand in bench/results.json."""
    names = {row["name"] for row in measured}
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    rows = measured + [row for row in old if row["name"] not in names]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    main()

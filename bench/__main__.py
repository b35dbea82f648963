"""make bench: how fast the lab is, as ratios in one run. Prints a table and writes bench/results.json.

python -m bench [--only PART] [--cold]      --cold: fresh clones too (minutes; needs the network)
"""

import argparse
import json
from pathlib import Path

from bench import lab, observe, shop

RESULTS = Path(__file__).parent / "results.json"
PARTS = {"lab": lab.measure, "observe": lambda cold: observe.measure(), "shop": lambda cold: shop.measure()}


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
    """Measures, prints and writes. Rows that were not measured this time are kept."""
    parser = argparse.ArgumentParser(description="How fast the lab is.")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument("--cold", action="store_true", help="measure fresh clones too")
    chosen = parser.parse_args()
    rows = [row for name, part in PARTS.items() if chosen.only in (None, name) for row in part(chosen.cold)]
    names = {row["name"] for row in rows}
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    rows += [row for row in old if row["name"] not in names]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()

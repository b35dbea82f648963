"""python -m helpers.shop run --orders 1000 --users 200 --seed 7 | diagram --order o-0001"""

import argparse
import json
import sys
import time
from pathlib import Path

from helpers.lab import LabError, open_lab

from . import invariants, log_checks, place_orders, plan, start, story


def main(arguments=None):
    """Runs one command; its exit status is 0, or 1 when an invariant is broken or nothing can run."""
    options = _parser().parse_args(arguments)
    lab = None
    try:
        lab = open_lab("shop")
        return options.run(lab, options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if lab:
            lab.close()


def _parser():
    parser = argparse.ArgumentParser(prog="python -m helpers.shop", description="The shop, without a notebook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("run", _run, "customers charge and order; then the invariants are checked"),
        ("diagram", _diagram, "the same, and then the sequence diagram of one order, as text and as SVG"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--orders", type=int, default=20)
        sub.add_argument("--users", type=int, default=5)
        sub.add_argument("--seed", type=int, default=1)
        sub.add_argument("--wait", action="store_true", help="customers wait for each order's end; see place_orders")
        sub.set_defaults(run=run)
    sub.add_argument("--order", default="o-0001", help="its id: o-0001 is the first one")
    sub.add_argument("--svg", type=Path, help="the file to write: ORDER.svg in the current folder")
    return parser


def _run(lab, options):
    """The last line is JSON.

    A seed gives the same customers, products and amounts each time. With --wait it gives the same completed and
    cancelled too; without it a few orders may end otherwise, because a user's orders are on their way at once.
    """
    result, _ = _serve_customers(lab, options)
    print(json.dumps(result))
    return 1 if result["violations"] else 0


def _diagram(lab, options):
    """Prints the diagram as text, and writes it as SVG; without a clock, so that the same order gives the same file."""
    from helpers import draw  # here: matplotlib takes a second

    _, shop = _serve_customers(lab, options)
    arrows, path = story(shop, options.order, clock=False), options.svg or Path(f"{options.order}.svg")
    print(draw.sequence_text(arrows))
    path.write_text(draw.sequence_svg(arrows, f"Order {options.order}, drawn from its records"))
    print(f"drawn: {path}")
    return 0


def _serve_customers(lab, options):
    shop = start(lab)
    began = time.monotonic()
    place_orders(shop, plan(options.orders, options.users, options.seed), options.seed, options.wait)
    shop.settle()
    seconds = time.monotonic() - began
    checks, found = [invariants(shop), log_checks(shop)], shop.statuses()
    print(*(table.to_string(index=False) for table in checks), sep="\n")
    result = {
        "orders": sum(found.values()),
        "completed": found.get("COMPLETED", 0),
        "cancelled": found.get("CANCELLED", 0),
        "needs_operator": found.get("NEEDS_OPERATOR", 0),
        "violations": sum(int(table["violations"].sum()) for table in checks),
        "seconds": round(seconds, 1),
        "orders_per_second": round(sum(found.values()) / seconds, 1),
    }
    return result, shop


if __name__ == "__main__":
    sys.exit(main())

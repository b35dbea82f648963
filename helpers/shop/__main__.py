"""python -m helpers.shop run --orders 1000 --users 200 --seed 7

python -m helpers.shop diagram --order o-0003
"""

import argparse
import json
import os
import re
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.lab import LabError, broker, open_lab

from . import invariants, log_checks, place_orders, plan, start, story

CHECKED = "then the invariants are checked, I1 to I10, and every record sent and read, L1 to L4"
CANCELLED = "SELECT reason, count(*) AS n FROM orders WHERE status = 'CANCELLED' GROUP BY reason ORDER BY reason"


def main(arguments=None):
    """Runs one command; its exit status is 0, or 1 when an invariant is broken or nothing can run."""
    options = _parser().parse_args(arguments)
    try:
        if options.run is _diagram:
            _check_order(options)
            _check_drawing(options)
        with _only_shop(), closing(open_lab("shop")) as lab:
            return options.run(lab, options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the shop and its processes have ended.", file=sys.stderr)
        return 130


@contextmanager
def _only_shop():
    """Two shops of this command would take each other's topics away. Raises LabError while another one runs."""
    home = broker.places.home()
    home.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(home / "shop.lock", timeout=0).acquire()
    except Timeout:
        raise LabError(
            "Another shop runs already.",
            "the same command is at work in another terminal, on the same topics",
            "wait for its end, or end it there with Ctrl-C",
        ) from None
    with held:
        yield


def _parser():
    parser = argparse.ArgumentParser(prog="python -m helpers.shop", description="The shop, without a notebook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    served = "a new shop, in which customers charge and order"
    run = _command(commands, "run", _run, f"{served}; {CHECKED}; the last line is JSON")
    run.add_argument(
        "--wait", action="store_true", help="customers wait for each order's end: the same seed, the same ends"
    )
    run.add_argument("--order", type=_of_diagram, help=argparse.SUPPRESS)
    text = f"{served} one after the other; then the sequence diagram of one of these orders, as text and as SVG"
    diagram = _command(commands, "diagram", _diagram, text)
    diagram.set_defaults(order=None, svg=None)  # and no "(default: None)" in the help
    diagram.add_argument("--order", default=argparse.SUPPRESS, help="its id; or the first completed, or else the first")
    diagram.add_argument("--svg", type=Path, default=argparse.SUPPRESS, help="the file, or else ORDER.svg")
    return parser


def _command(commands, name, run, text):
    """A new command with the options that both have."""
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,  # run --order 5 would be run --orders 5
    )
    command.add_argument("--orders", type=_at_least_one, default=20, help="how many orders")
    command.add_argument("--users", type=_at_least_one, default=5, help="how many customers")
    command.add_argument("--seed", type=int, default=1, help="the same one gives the same customers, products, amounts")
    command.set_defaults(run=run)
    return command


def _of_diagram(text):
    raise argparse.ArgumentTypeError("an option of diagram; how many orders there are is --orders")


def _at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of 1 or more")
    return int(text)


def _check_order(options):
    """Raises LabError, before anything runs, for an order that there will not be."""
    if options.order is None:
        return
    last = f"o-{options.orders:04}"
    if not re.fullmatch(r"o-\d{4,}", options.order) or not 1 <= int(options.order[2:]) <= options.orders:
        why = f"the orders of this new shop are o-0001 to {last}"
        raise LabError(f"There will be no order {options.order}.", why, "choose one of these, or more: --orders 100")


def _check_drawing(options):
    """Raises LabError, before anything runs, for a file that cannot be."""
    path = options.svg or Path("order.svg")
    if path.suffix != ".svg" or path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        why = "its name does not end in .svg, it is a folder, or its folder does not exist or may not be written"
        raise LabError(f"{path} cannot be written as SVG.", why, "--svg order.svg")


def _run(lab, options):
    """The last line is JSON.

    A seed gives the same customers, products and amounts each time. With --wait it gives the same completed and
    cancelled too; without it a few orders may end otherwise, because a user's orders are on their way at once.
    """
    result, _ = _serve_customers(lab, options, wait=options.wait)
    print(json.dumps(result))
    return 1 if result["violations"] else 0


def _diagram(lab, options):
    """Prints the diagram as text, and writes it as SVG. The same options give the same file.

    For that customers are served one after the other, each order to its end, and no clock is drawn.
    """
    from helpers import draw  # here: matplotlib takes a second

    _, shop = _serve_customers(lab, options, wait=True, clients=1)
    order = options.order or _first(shop)
    arrows, path = story(shop, order, clock=False), options.svg or Path(f"{order}.svg")
    print(draw.sequence_text(arrows))
    path.write_text(draw.sequence_svg(arrows, f"Order {order}, drawn from its records"))
    print(f"drawn: {path}")
    return 0


def _first(shop):
    """The first order that was completed, or else the first."""
    return shop.sql("order", "SELECT id FROM orders ORDER BY status <> 'COMPLETED', number LIMIT 1")[0]["id"]


def _serve_customers(lab, options, **how):
    shop = start(lab)
    began = time.monotonic()
    place_orders(shop, plan(options.orders, options.users, options.seed), options.seed, **how)
    shop.settle()
    seconds = time.monotonic() - began
    checks, found = [invariants(shop), log_checks(shop)], shop.statuses()
    print(*(table.to_string(index=False) for table in checks), sep="\n")
    for row in shop.sql("order", CANCELLED):
        print(f"cancelled, {row['reason']}: {row['n']}")
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

"""python -m helpers.broker start [--brokers 3] | stop [--wipe] | status | prefetch | doctor | lock | run COMMAND"""

import argparse
import sys

from . import embedded
from .choose import brokers_text
from .errors import LabError, course
from .prefetch import prefetch


def main(arguments=None):
    """Runs one command; its exit status is 0 or 1."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except LabError as error:
        print(error, file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m helpers.broker", description="The embedded Kafka broker of this course."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    start = command("start", _start, "start one broker, or three; prints the bootstrap address")
    start.add_argument("--brokers", type=int, choices=[1, 3], default=1)
    stop = command("stop", _stop, "end every broker of this checkout")
    stop.add_argument("--wipe", action="store_true", help="delete their data too")
    command("status", _status, "say which brokers run")
    command("prefetch", _prefetch, "download and prepare Kafka in the cache")
    command("doctor", _doctor, "check everything that the lab needs")
    command("lock", _lock, "make the lock of a Kafka version with Maven").add_argument("version")
    run = command("run", _run, "run a command, then end the brokers that started meanwhile")
    run.add_argument("line", nargs=argparse.REMAINDER)
    return parser


def _start(options):
    prefetch(verify=False)
    print(embedded.start(options.brokers, say=lambda text: print(text, file=sys.stderr)).bootstrap)


def _stop(options):
    print(f"{brokers_text(embedded.stop(options.wipe))} ended" + (", data deleted" if options.wipe else ""))


def _status(options):
    clusters = embedded.clusters()
    for cluster in clusters:
        running = [node.id for node in cluster.running()]
        for node in cluster.nodes:
            state = f"running, pid {node.pid}" if node.id in running else "stopped"
            print(f"Kafka {cluster.version}  broker {node.id} of {len(cluster.nodes)}  127.0.0.1:{node.port}  {state}")
    if not clusters:
        print(f"No broker has been started in this checkout: {course('start')}")


def _prefetch(options):
    prefetch()
    print("Kafka is ready in the cache.")


def _doctor(options):
    from .doctor import main as doctor

    return doctor()


def _lock(options):
    from .lock import make_lock

    print(make_lock(options.version))


def _run(options):
    from .run import run

    return run(options.line)


if __name__ == "__main__":
    sys.exit(main())

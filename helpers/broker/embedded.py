"""The embedded broker: a real Apache Kafka server as a process of ours, or a cluster of three of them.

Everything of a cluster lives in one folder, named by version and size: .kafka/4.0.0-1/ holds cluster.json (the record
of who runs), and a folder for each node with server.properties, broker.log and data/. A process is ours only if its
pid, its start time and its command line are those in the record.
"""

import base64
import getpass
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from . import jvm, wire
from .errors import LabError, course
from .places import cache, home, kafka_version
from .ports import free_ports, keep, release, taken
from .settings import as_properties, server_properties

START_DEADLINE = 60  # seconds; a busy machine needs more than the usual one
STOP_DEADLINE = 7  # seconds after SIGTERM, then SIGKILL
STARTED = "Kafka Server started"
PORT_TAKEN = "Address already in use"
PORT_TRIES = 5
FIRST_PORT = {1: 9092, 3: 19092}
FIRST_CONTROLLER_PORT = 9192


@dataclass
class Node:
    """One Kafka server process: broker and controller at once."""

    id: int
    port: int
    controller_port: int
    pid: int | None = None
    started: float | None = None  # seconds since the epoch, as the operating system says


@dataclass
class Cluster:
    """A broker of ours, or three: what cluster.json says."""

    version: str
    cluster_id: str
    nodes: list[Node] = field(default_factory=list)

    @property
    def folder(self):
        return cluster_folder(self.version, len(self.nodes))

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def running(self):
        """The nodes whose process runs."""
        return [node for node in self.nodes if process_of(node, self)]


def cluster_folder(version, brokers):
    """The folder of the cluster of this version and size."""
    return home() / f"{version}-{brokers}"


def node_folder(cluster, node):
    """The folder of one node: server.properties, broker.log and data/."""
    return cluster.folder / f"node-{node.id}"


def process_of(node, cluster):
    """The node's psutil.Process if it runs and is ours, else None."""
    if node.pid is None:
        return None
    try:
        process = psutil.Process(node.pid)
        if not _runs(process):
            return None
        same_time = abs(process.create_time() - node.started) < 2  # the system clock may have been set meanwhile
        words = process.cmdline()  # none yet in the instant of its start
        named = not words or token(node.id, cluster.cluster_id) in words
        here = os.path.samefile(process.cwd(), node_folder(cluster, node))  # not so in a copy of the folder
        return process if same_time and named and here else None
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return None


def token(node_id, cluster_id):
    """An option on the command line by which a node's process is known."""
    return f"-Dkafka.course.node={cluster_id}/{node_id}"


# ---- the record ----------------------------------------------------------------------------------------------------


def read_record(folder):
    """The Cluster in a folder's cluster.json, or None. A record that cannot be read counts as none."""
    try:
        found = json.loads((folder / "cluster.json").read_text())
        return Cluster(found["version"], found["cluster_id"], [Node(**node) for node in found["nodes"]])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write_record(cluster):
    """Writes cluster.json in one step."""
    text = json.dumps(asdict(cluster), indent=1)
    partial = cluster.folder / "cluster.json.partial"
    partial.write_text(text)
    partial.replace(cluster.folder / "cluster.json")


def clusters():
    """Every cluster that has a record in this checkout, running or not."""
    records = (read_record(folder) for folder in sorted(home().glob("*-*")))
    return [cluster for cluster in records if cluster]


def find(brokers=1):
    """The running cluster of this size and of $KAFKA_VERSION, or None."""
    cluster = read_record(cluster_folder(kafka_version(), brokers))
    return cluster if cluster and len(cluster.running()) == brokers else None


@contextmanager
def home_lock():
    """Two starts at once give one broker: the second waits for the first."""
    try:
        home().mkdir(parents=True, exist_ok=True)
        (home() / ".gitignore").write_text("*\n")
        with _lock(home() / "lock"):
            yield
    except OSError as error:  # not ours to write, a file in its place, a full disk
        raise LabError(
            f"The folder {home()} cannot be written.",
            str(error),
            "export KAFKA_COURSE_HOME=<a folder that you may write>",
        ) from error


def ports_lock():
    """Two checkouts that start at once choose their ports one after the other.

    Two clusters that chose the same controller ports would vote with each other's nodes, and neither would come up.
    """
    return _lock(Path(tempfile.gettempdir()) / f"kafka-course-{getpass.getuser()}.lock")


@contextmanager
def _lock(path):
    try:
        with FileLock(path, timeout=START_DEADLINE + 30):
            yield
    except Timeout as error:
        raise LabError(
            "Another process has been starting or stopping the broker for 90 seconds.",
            f"it holds {path}",
            "wait for it, or end it and try again",
        ) from error


# ---- start ---------------------------------------------------------------------------------------------------------


def start(brokers=1, say=print):
    """Starts the cluster of this size, or what is missing of it, and returns its Cluster once it serves.

    Data is kept from the last time. Raises LabError when Kafka is not in the cache or does not come up.
    """
    if brokers not in FIRST_PORT:
        raise LabError(
            f"A cluster of {brokers} brokers is not prepared.", "there is one broker, or three", "use 1 or 3"
        )
    version = kafka_version()
    with home_lock():
        cluster = read_record(cluster_folder(version, brokers))
        if cluster and _settled(cluster):
            return _launch_missing(cluster)
        for _ in range(PORT_TRIES):
            cluster = read_record(cluster_folder(version, brokers))  # a try leaves data, and the id that it has
            try:
                with ports_lock():
                    return _launch_missing(_with_free_ports(cluster, version, brokers, say))
            except LabError as error:
                if PORT_TAKEN not in error.why:
                    raise
                failed = error  # another program took the port between our look and our start
        raise failed


def _launch_missing(cluster):
    """Starts the nodes that do not run, and returns the cluster once all serve."""
    running = cluster.running()
    launched = {node.id: _launch(cluster, node) for node in cluster.nodes if node not in running}
    try:
        for node in cluster.nodes:
            _await_started(cluster, node, launched.get(node.id))
        if len(cluster.nodes) > 1:
            _await_known(cluster)
    except LabError:
        for process in launched.values():
            process.kill()
            process.wait()
        raise
    return cluster


def _settled(cluster):
    """The running nodes. One that was just killed is waited for; one that does not answer raises LabError."""
    for node in cluster.running():
        process = process_of(node, cluster)
        if process and _has_started(cluster, node) and not wire.answers(node.port) and _still_running([process], 0.5):
            raise LabError(
                f"Broker {node.id} runs, but does not answer on port {node.port}.",
                f"process {node.pid} is paused, or has no processor time",
                course("stop") + "   (data is kept), then try again",
            )
    return cluster.running()


def _has_started(cluster, node):
    return STARTED in (node_folder(cluster, node) / "broker.log").read_text(errors="replace")


def _with_free_ports(old, version, brokers, say):
    """A Cluster on ports that are free now: the old one's if they are. Its id stays, so that its data is kept."""
    if old and not any(taken(port) for node in old.nodes for port in (node.port, node.controller_port)):
        return Cluster(version, old.cluster_id, [Node(n.id, n.port, n.controller_port) for n in old.nodes])
    first = FIRST_PORT[brokers]
    ports = free_ports(first, brokers)
    if ports[0] != first:
        say(f"Port {first} is taken by another program: the broker listens on {', '.join(map(str, ports))}.")
    controller_ports = free_ports(FIRST_CONTROLLER_PORT, brokers, skip=ports)
    nodes = [Node(i, *pair) for i, pair in enumerate(zip(ports, controller_ports, strict=True), start=1)]
    return Cluster(version, old.cluster_id if old else new_cluster_id(), nodes)


def new_cluster_id():
    """A cluster id as Kafka makes them: 16 random bytes, in URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _launch(cluster, node):
    """Starts one node's process on its data, puts it on record, and returns its Popen."""
    folder = node_folder(cluster, node)
    waits = len(cluster.nodes) == 1 and _waits_for_its_old_session(cluster, node)
    _prepare_data(cluster, node)
    ports = {n.id: n.port for n in cluster.nodes}
    controller_ports = {n.id: n.controller_port for n in cluster.nodes}
    settings = server_properties(node.id, ports, controller_ports)
    (folder / "server.properties").write_text(as_properties(settings))
    process = spawn(cluster.version, folder, [token(node.id, cluster.cluster_id)])
    node.pid, node.started = process.pid, psutil.Process(process.pid).create_time()
    write_record(cluster)
    if waits:
        _end_old_session(node, process)
    return process


def spawn(version, folder, options=(), use_archive=True):
    """Runs the server on folder/server.properties in a session of its own, so that no Ctrl-C reaches it."""
    line = jvm.command(version, "kafka.Kafka", "server.properties", options=options, use_archive=use_archive)
    with open(folder / "broker.log", "wb") as log, jvm.runnable():
        return subprocess.Popen(
            line,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=jvm.environment(),
            start_new_session=True,
        )


def _waits_for_its_old_session(cluster, node):
    """Whether the controller will refuse the node until the session of its last run is over.

    So it is after kill -9, and before Kafka 4.1 after a clean stop too (KAFKA-19047).
    """
    data = node_folder(cluster, node) / "data"
    stopped_cleanly = (data / ".kafka_cleanshutdown").exists()
    return (data / "meta.properties").exists() and not (stopped_cleanly and cluster.version >= "4.1")


def _end_old_session(node, process):
    """Lets the broker's own controller forget the broker's last run, which it would wait 9 s for."""
    until = time.monotonic() + START_DEADLINE
    with suppress(TimeoutError):
        while process.poll() is None and time.monotonic() < until:
            if _listens(process, node.controller_port) and wire.unregister(node.controller_port, node.id):
                return
            time.sleep(0.02)


def _listens(process, port):
    """Whether it is this process that listens on the port: another cluster's controller must not be asked."""
    try:
        found = psutil.Process(process.pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def _prepare_data(cluster, node):
    """Makes the node's formatted data folder, as `kafka-storage format` would, unless it is there."""
    data = node_folder(cluster, node) / "data"
    if (data / "meta.properties").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    shutil.copy(checkpoint_template(cluster.version), data / "bootstrap.checkpoint")
    meta = {"version": 1, "cluster.id": cluster.cluster_id, "node.id": node.id, "directory.id": new_cluster_id()}
    (data / "meta.properties").write_text(as_properties(meta))


def checkpoint_template(version):
    """The bootstrap.checkpoint that `kafka-storage format` wrote once; it is the same for every node."""
    path = cache() / version / "bootstrap.checkpoint"
    if not path.exists():
        jvm.jars.class_path(version)  # names missing jars first
        raise LabError(f"Apache Kafka {version} is not prepared.", f"{path} is missing", course("prefetch"))
    return path


def _await_started(cluster, node, launched=None):
    """Waits until the node's log says that it serves. Raises LabError with the log's reason when it ends instead."""
    log = node_folder(cluster, node) / "broker.log"
    alive = (lambda: launched.poll() is None) if launched else (lambda: process_of(node, cluster) is not None)
    await_log(log, alive)
    release(node.port, node.controller_port)


def _await_known(cluster):
    """Waits until each broker knows all: until then a client may be sent to one that its metadata do not name."""
    until = time.monotonic() + START_DEADLINE
    while any(wire.known_brokers(node.port) < len(cluster.nodes) for node in cluster.nodes):
        if time.monotonic() > until:
            raise LabError(
                f"The brokers did not find each other within {START_DEADLINE} s.",
                "at least one is not in the metadata of another",
                course("stop") + "   (data is kept), then try again",
            )
        time.sleep(0.01)


def await_log(log, alive, deadline=START_DEADLINE):
    """Waits until a broker's log says that it serves; alive() tells whether its process still runs."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        text = log.read_text(errors="replace")
        if STARTED in text:
            return
        if not alive():
            raise LabError(
                "The broker ended while it started.",
                reason_in(log.read_text(errors="replace")),
                f"see {log}; {course('doctor')}",
            )
        time.sleep(0.01)
    raise LabError(f"The broker did not start within {deadline} s.", reason_in(text), f"see {log}; {course('doctor')}")


def reason_in(log):
    """The line of a broker's log that says why it failed."""
    lines = log.splitlines()
    telling = [
        line for line in lines if "Exception" in line or "Error" in line or " FATAL " in line or " ERROR " in line
    ]
    caused = [line for line in telling if line.startswith("Caused by")]
    return (caused or telling or lines or ["its log is empty"])[-1].strip()


# ---- stop, and what tests and chapters do to a broker ----------------------------------------------------------------


def stop(wipe=False, only=lambda node: True):
    """Ends the brokers of this checkout, and with wipe=True deletes their data. Returns how many processes ended."""
    if not home().exists():
        return 0
    ended = 0
    with home_lock():
        for cluster in clusters():
            ended += _end([node for node in cluster.running() if only(node)], cluster, grace=STOP_DEADLINE)
            for node in filter(only, cluster.nodes):
                release(node.port, node.controller_port)
        if wipe:
            for folder in home().glob("*-*"):
                shutil.rmtree(folder)
    return ended


def _end(nodes, cluster, grace):
    """SIGTERM, then SIGKILL after the grace, in seconds; returns the number of processes that ended."""
    processes = [process for node in nodes if (process := process_of(node, cluster))]
    if grace:
        for process in processes:
            process.terminate()
    still = _still_running(processes, grace)
    for process in still:
        process.kill()
    still = _still_running(still, 5)
    if still:
        raise LabError("A broker could not be ended.", f"process {still[0].pid} ignores SIGKILL", "restart the machine")
    return len(processes)


def _still_running(processes, seconds):
    """Waits until these have ended; returns those that still run after so many seconds.

    A zombie has ended: its parent, often a notebook's kernel, has only not asked for it yet.
    """
    until = time.monotonic() + seconds
    left = list(processes)
    while True:
        _, left = psutil.wait_procs(left, timeout=0)
        left = [process for process in left if _runs(process)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.01)


def _runs(process):
    """Whether any of its threads does. Of a killed one the first is a zombie while others still hold its port."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def kill(node_id, brokers=3):
    """kill -9 on one node of the running cluster of this size. Its ports are kept for it until it starts again."""
    cluster, node = _node(node_id, brokers)
    process = process_of(node, cluster)
    if process is None:
        mend = "lab.start_broker(), then run again from the cell with lab.topic(...) on"
        raise LabError(f"Broker {node_id} does not run.", "it was killed or stopped already", mend)
    keep(node.port, node.controller_port)
    os.kill(process.pid, signal.SIGKILL)
    _still_running([process], 5)


def revive(node_id, brokers=3):
    """Starts a killed node again on its data, and returns once it serves."""
    cluster, node = _node(node_id, brokers)
    with home_lock():
        if process_of(node, cluster) is None:
            _await_started(cluster, node, _launch(cluster, node))


def _node(node_id, brokers):
    cluster = read_record(cluster_folder(kafka_version(), brokers))
    for node in cluster.nodes if cluster else []:
        if node.id == node_id:
            return cluster, node
    raise LabError(
        f"There is no broker {node_id} in a cluster of {brokers} here.",
        "it was never started in this checkout",
        course(f"start --brokers {brokers}"),
    )


def log_folder(cluster, node_id, topic, partition):
    """The folder on disk in which a node keeps a partition's segments."""
    node = next(node for node in cluster.nodes if node.id == node_id)
    return Path(node_folder(cluster, node)) / "data" / f"{topic}-{partition}"

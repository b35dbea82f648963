"""Apache Kafka's published jars: locked by sha256, fetched once into the user's cache."""

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import LabError, course
from .places import LOCKS, cache

THREADS = 8


def lock_entries(version):
    """The lock of a version as {(group, artifact, version): sha256}."""
    lines = (LOCKS / f"kafka-{version}.lock").read_text().splitlines()
    return {tuple(gav.split(":")): sha256 for gav, sha256 in (line.split() for line in lines)}


def folder(version):
    """Where the jars of this version are kept."""
    return cache() / version / "libs"


def jar_paths(version):
    """{path of the jar: its sha256}, in the order of the class path."""
    return {folder(version) / f"{a}-{v}.jar": sha256 for (_, a, v), sha256 in lock_entries(version).items()}


def sha256_of(path):
    """The sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bad_jars(version):
    """The jars that are missing or do not match the lock, as {path: "missing" or "damaged"}."""
    found = {}
    for path, sha256 in jar_paths(version).items():
        if not path.exists():
            found[path] = "missing"
        elif sha256_of(path) != sha256:
            found[path] = "damaged"
    return found


def class_path(version):
    """The class path of the server and the tools. Raises LabError when a jar is missing."""
    missing = [path.name for path in jar_paths(version) if not path.exists()]
    if missing:
        raise LabError(
            f"Apache Kafka {version} is not in the cache.",
            f"{len(missing)} jars are missing in {folder(version)}",
            course("prefetch"),
        )
    return os.pathsep.join(map(str, jar_paths(version)))


@contextmanager
def cache_lock():
    """Only one process at a time fills the cache. Raises LabError when the cache cannot be written."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache() / "lock", timeout=300)
        with lock:
            yield
    except Timeout as error:
        raise LabError(
            "Another process has been filling the cache for 5 minutes.",
            f"it holds {cache() / 'lock'}",
            "wait for it, or end it and try again",
        ) from error
    except OSError as error:  # not ours to write, a file in its place, a full disk
        raise LabError(
            f"The cache folder {cache()} cannot be written.",
            str(error),
            "export KAFKA_COURSE_CACHE=<a folder that you may write>, and try again",
        ) from error


def fetch(version, progress):
    """Downloads what is missing or damaged; progress() is called for every jar that is in place.

    A jar reaches its place only when its sha256 matches, so an interrupted download leaves whole jars or none.
    Raises LabError without network, on a full disk, and for a jar that does not match.
    """
    wanted = bad_jars(version)
    for _ in range(len(jar_paths(version)) - len(wanted)):
        progress()
    if not wanted:
        return
    folder(version).mkdir(parents=True, exist_ok=True)
    for left_behind in folder(version).parent.glob("partial-*"):  # by a download that was killed
        shutil.rmtree(left_behind)
    entries = {f"{a}-{v}.jar": (g, a, v) for g, a, v in lock_entries(version)}
    partial = tempfile.TemporaryDirectory(dir=folder(version).parent, prefix="partial-")
    with partial as parts, ThreadPoolExecutor(THREADS) as pool:
        jobs = [
            pool.submit(_fetch_one, entries[path.name], jar_paths(version)[path], path, Path(parts)) for path in wanted
        ]
        try:
            for job in as_completed(jobs):
                job.result()
                progress()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(gav, sha256, path, partial):
    from jgo.maven import MavenContext
    from requests import RequestException

    try:
        context = MavenContext(repo_cache=partial, local_repos=[], timeout=15)
        got = context.create_dependency(":".join(gav)).artifact.resolve()
    except RequestException as error:
        raise LabError(
            f"{path.name} could not be downloaded.",
            f"no answer from the Maven repository ({type(error).__name__}): is there a network?",
            f"connect, then: {course('prefetch')}   (whole jars are kept; or copy the folder "
            f"{cache()} from a machine that has it)",
        ) from error
    except OSError as error:
        raise LabError(
            f"{path.name} could not be written.",
            str(error),
            f"make room in {cache()} (45 MB for the jars, 75 MB for the JVM archive)",
        ) from error
    except RuntimeError as error:
        raise LabError(
            f"{path.name} could not be downloaded.",
            f"the Maven repository does not have it ({error})",
            f"{course('prefetch')}   (later; or copy the folder {cache()} from a machine that has it)",
        ) from error
    if sha256_of(got) != sha256:
        raise LabError(
            f"{path.name} does not match the lock and was thrown away.",
            f"its sha256 is {sha256_of(got)}, the lock says {sha256}",
            course("prefetch") + "   (again; a proxy that changes downloads causes this)",
        )
    os.utime(got, (LOCKED_TIME, LOCKED_TIME))
    shutil.move(got, path)


# The JVM archive remembers each jar's size and time: a fixed time lets the cache be copied to another machine.
LOCKED_TIME = 1_700_000_000

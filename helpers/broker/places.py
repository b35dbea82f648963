"""Where things live, and which Kafka version is meant."""

import os
from pathlib import Path

import platformdirs

from .errors import LabError

DEFAULT_VERSION = "4.0.0"
CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = Path(__file__).parent / "locks"


def home():
    """The folder for brokers and their data: .kafka in the checkout, or $KAFKA_COURSE_HOME."""
    return Path(os.environ.get("KAFKA_COURSE_HOME") or CHECKOUT / ".kafka").absolute()


def cache():
    """The folder for jars and JVM archives: the user's cache, or $KAFKA_COURSE_CACHE."""
    return Path(os.environ.get("KAFKA_COURSE_CACHE") or platformdirs.user_cache_dir("kafka-course")).absolute()


def known_versions():
    """The Kafka versions that have a lock, oldest first."""
    found = [path.stem.removeprefix("kafka-") for path in LOCKS.glob("kafka-*.lock")]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def kafka_version():
    """The version that $KAFKA_VERSION asks for, or the default. Raises LabError for one without a lock."""
    version = os.environ.get("KAFKA_VERSION") or DEFAULT_VERSION
    if version not in known_versions():
        raise LabError(
            f"KAFKA_VERSION={version} is not a version of this course.",
            f"locked with hashes are: {', '.join(known_versions())}",
            f"export KAFKA_VERSION={known_versions()[-1]}   (or: unset KAFKA_VERSION, for {DEFAULT_VERSION})",
        )
    return version

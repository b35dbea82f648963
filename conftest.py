"""Pytest settings of the whole repository."""

import os
import shutil
import tempfile

import nbval.kernel

from helpers.broker import stop
from tests.notebooks.kernels import CourseKernelManager

LONGEST = [  # test files, as measured: each goes to one worker as a whole, so these begin first
    "test_browser",
    "test_team_exercises",
    "test_exercises",
    "test_shop_run",
    "test_shop_faults",
    "test_embedded",
    "test_actors",
    "test_observe",
    "06_rebalancing",
    "13_shop_sequence",
]
nbval.kernel.KernelManager = CourseKernelManager


def pytest_configure(config):
    """The tests' brokers live in a folder of their own, beside those of a lab that is open meanwhile."""
    config.own_home = tempfile.mkdtemp(prefix="kafka-course-")
    os.environ["KAFKA_COURSE_HOME"] = config.own_home


def pytest_collection_modifyitems(items):
    """The longest files first; within a file all stays as it is."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_unconfigure(config):
    """Ends the brokers that the tests left running."""
    os.environ["KAFKA_COURSE_HOME"] = config.own_home
    stop(wipe=True)
    shutil.rmtree(config.own_home, ignore_errors=True)

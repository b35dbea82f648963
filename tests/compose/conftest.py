"""Containers take port 9092, where every lab looks for the compose file's broker: they run apart from other tests."""

import pytest

APART = "runs apart from other tests: make test TESTS=tests/compose/test_compose_docker.py"


def pytest_collection_modifyitems(config, items):
    """Beside other test files, which workers run at the same time, the container tests are left out."""
    ours = [item for item in items if item.path.name == "test_compose_docker.py"]
    if hasattr(config, "workerinput") and len(ours) < len(items):
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=APART))

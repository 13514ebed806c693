"""The commands of the tests of flows."""

from __future__ import annotations

from tests.flows.conftest import command, environment, home, server  # noqa: F401  fixtures

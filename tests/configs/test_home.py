"""merflow's own folder, and what is used where it cannot be written."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from configs.home import home, writable_home


def test_a_home_that_can_be_written_is_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "new" / "home"))
    assert writable_home() == home() == tmp_path / "new" / "home"
    assert caplog.records == []


def test_one_that_cannot_is_replaced_for_this_run_and_that_is_said_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "file" / "home"))
    with caplog.at_level(logging.WARNING):
        found = writable_home()
        assert writable_home() == found == home() == Path(os.environ["MERFLOW_HOME"])
    assert found.is_dir()
    (said,) = caplog.messages
    assert said.startswith(f"merflow: {tmp_path / 'file' / 'home'} cannot be written (Not a directory); using {found}")

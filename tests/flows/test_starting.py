"""What a newcomer types first: a configuration to begin with, and what a run would do."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from configs.schema import load_config
from storage import open_store
from tests.flows.stores import visible_files
from tests.media import write_clip

pytestmark = pytest.mark.without_prefect


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in ("a", "b", "c"):
        write_clip(tmp_path / "clips" / f"{name}.wav", seconds=0.5, video=False)
    (tmp_path / "c.yaml").write_text("extractors: [{name: gemaps}]")
    return tmp_path / "clips"


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_of_a_new_store_writes_nothing(merflow, clips, tmp_path):
    before = everything(tmp_path)
    said = merflow(
        "run", "-c", tmp_path / "c.yaml", "--corpus", "folder", clips, "-s", tmp_path / "s", "--dry-run"
    ).stdout
    assert everything(tmp_path) == before
    assert "Found 3 clips in clips\n" in said
    assert "3 of 3 clips to do (2 s of media)" in said
    assert "gemaps: 3 to do, 0 stored, failed or skipped" in said
    assert "MiB to write" in said
    assert said.endswith("nothing was written (--dry-run)\n")


def test_a_dry_run_of_a_store_with_results_counts_what_is_left(merflow, clips, tmp_path):
    line = ("run", "-c", tmp_path / "c.yaml", "--corpus", "folder", clips, "-s", tmp_path / "s")
    merflow(*line, "--limit", "2")
    write_clip(clips / "d.wav", seconds=0.5, video=False)
    before = everything(tmp_path)
    said = merflow(*line, "--dry-run").stdout
    assert "2 of 4 clips to do" in said
    assert "gemaps: 2 to do, 2 stored, failed or skipped" in said
    assert everything(tmp_path) == before
    merflow(*line)
    assert "0 of 4 clips to do" in merflow(*line, "--dry-run").stdout
    assert len(visible_files(tmp_path / "s")) == len(visible_files(open_store(tmp_path / "s").path))


def test_a_dry_run_names_weights_that_are_not_there(merflow, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    (tmp_path / "w.yaml").write_text("extractors: [{name: gemaps}, {name: hubert, weights: {hub: nobody/nothing}}]")
    line = ("run", "-c", tmp_path / "w.yaml", "--corpus", "folder", clips, "-s", tmp_path / "s", "--dry-run")
    said = merflow(*line, expect=2).stdout
    assert "no weights hubert: weights nobody/nothing" in said
    assert "gemaps: 3 to do" in said
    (tmp_path / "x.yaml").write_text("extractors: [{name: gemasp}]")
    refused = merflow("run", "-c", tmp_path / "x.yaml", *line[3:], expect=2).stderr
    assert "unknown extractor 'gemasp'" in refused


@pytest.mark.parametrize("purpose", ["my-corpus", "indomer", "merr", "mertools"])
def test_init_writes_a_configuration_that_is_read(merflow, tmp_path, monkeypatch, purpose):
    monkeypatch.chdir(tmp_path)
    said = merflow("init", "--for", purpose).stdout
    assert said.startswith("wrote merflow.yaml; next: merflow run --config merflow.yaml --corpus ")
    config = load_config(tmp_path / "merflow.yaml")
    if purpose in {"indomer", "merr"}:
        shipped = load_config(purpose)
        assert (config.extractors, config.no_audio) == (shipped.extractors, shipped.no_audio)
    assert "merflow.yaml: exists already" in merflow("init", expect=2).stderr


def test_the_version_is_said(merflow):
    assert merflow("--version").stdout == f"merflow {version('merflow')}\n"


def test_ingest_says_at_the_start_how_long_hashing_takes_where_that_is_long(merflow, clips, tmp_path, monkeypatch):
    assert "hashing" not in merflow("ingest", clips, "--out", tmp_path / "m.parquet").stderr
    monkeypatch.setattr("flows.cli.ingesting.WORTH_TELLING", 0.0)
    said = merflow("ingest", clips, "--out", tmp_path / "n.parquet").stderr
    assert "hashing and probing 3 files, less than 1 MiB: about 1 s here" in said
    assert "hashing" not in merflow("ingest", clips, "--out", tmp_path / "n.parquet").stderr  # known already

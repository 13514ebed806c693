"""What a person can do wrong in the steps of the README and the docs: one line that says what to do, exit code 2."""

from __future__ import annotations

import errno
import re
import shutil
from unittest import mock

import pytest

pytestmark = pytest.mark.without_prefect


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "made"


@pytest.fixture
def made(merflow, config, corpus, tmp_path, kept):
    """A store, its manifest and its configuration, and a few wrong files."""
    if not kept.exists():  # made once
        merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
        merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
        shutil.copytree(tmp_path, kept)
    else:
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    (tmp_path / "notes.txt").write_text("not a store")
    (tmp_path / "bad.yaml").write_text("extractors: [{name: gemapz}]\n")
    (tmp_path / "odd.yaml").write_text("extractors: {gemaps\n")
    (tmp_path / "no_weights.yaml").write_text("extractors: [{name: hubert, weights: {hub: nobody/nothing}}]\n")
    (tmp_path / "taken").mkdir()
    return tmp_path


WRONG = {
    "wrong path of a corpus": ("ingest nowhere --out n.parquet", "nowhere", "no such"),
    "wrong path of a manifest": ("run -c config.yaml -m nowhere.parquet -s s2", "nowhere.parquet", "no such|not found"),
    "wrong path of a configuration": ("run -c nowhere.yaml -m m.parquet -s s2", "shipped: demo, ", "no such file"),
    "wrong path of a store": ("status nowhere", "nowhere", "not a feature store"),
    "a file for a store": ("status notes.txt", "notes.txt", "not a feature store"),
    "wrong path of a file": ("extract nowhere.mp4 gemaps", "nowhere.mp4", "no such file|does not exist"),
    "wrong configuration": ("run -c bad.yaml -m m.parquet -s s2", "Did you mean 'gemaps'", "unknown extractor"),
    "no configuration at all": ("run -c odd.yaml -m m.parquet -s s2", "odd.yaml", "not a YAML file"),
    "no weights": ("run -c no_weights.yaml -m m.parquet -s s2", "merflow weights pull", "nobody/nothing"),
    "wrong clip": ("inspect s clip_7", "did you mean 'clip_", "no clip 'clip_7'"),
    "wrong feature": ("extract corpus/clip_0.mp4 gemap", "did you mean 'gemaps'|extractors: ", "gemap"),
    "export that exists": ("export hdf5 s m.parquet", "--replace", "exists already"),
    "report over something": ("report s --out taken", "choose another --out", "exists already"),
    "configuration that exists": ("init --out bad.yaml", "choose another --out", "exists already"),
    "unknown format": ("export hdf s x", "formats: csd", "unknown format 'hdf'"),
    "unknown option": ("export hdf5 s x --opt rat=5", "valid options here|did you mean", "unknown option 'rat'"),
    "plot of a kind": ("inspect s clip_0 --plot x.bmp", ".png", "x.bmp"),
    "forgotten clip": ("forget s clip_9", "clip_9", "no such clip|no clip"),
    "wrong relocation": ("relocate s here", "OLD=NEW", "expected"),
    "manifest and corpus": ("run -c config.yaml -m m.parquet --corpus folder corpus -s s2", "not both", "either"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_it_is_one_line_with_what_to_do(made, merflow, monkeypatch, what):
    line, remedy, problem = WRONG[what]
    monkeypatch.chdir(made)
    before = sorted(path.relative_to(made) for path in made.rglob("*"))
    said = merflow(*line.split(), expect=2)
    assert said.stdout == ""
    (told,) = said.stderr.splitlines()
    assert told.startswith("merflow: ")
    assert re.search(remedy, told), told
    assert re.search(problem, told), told
    assert sorted(path.relative_to(made) for path in made.rglob("*")) == before


def test_no_space(made, merflow, monkeypatch):
    monkeypatch.chdir(made)
    with mock.patch("flows.preflight.free_bytes", return_value=1000):
        said = merflow("run", "-c", "config.yaml", "-m", "m.parquet", "-s", "s3", expect=2).stderr
    assert re_line(said, "space|full|free")
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch("storage.exporters.hdf5.create_hdf5", side_effect=full):
        said = merflow("export", "hdf5", "s", "x.h5", expect=2).stderr
    assert re_line(said, "no space left")
    assert not (made / "x.h5").exists()


def test_a_current_folder_that_is_gone(merflow, monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = merflow("run", "--config", "demo", "--corpus", "folder", "a", "--store", "s", expect=2).stderr
    assert re_line(said, "the folder that you are in is gone; go to another one")


def re_line(said: str, wanted: str) -> bool:
    (told,) = said.splitlines()
    return told.startswith("merflow: ") and re.search(wanted, told) is not None

"""A folder shows by itself which corpus it is; one that could be several, or none, is not guessed at."""

from __future__ import annotations

import importlib
import os
import shutil

import pytest

from configs.errors import RunError
from storage.corpora import CORPORA, read_corpus, recognise
from storage.corpora._shared.corpus import Corpus
from storage.corpora._shared.tree import some_files
from storage.ingest import ingest, preview
from tests.conformance.test_corpora import TREES
from tests.storage.corpora.trees import media, written

NAMES = [name for name in TREES if name not in {"folder", "table"}]


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_recognised_alone(name, tmp_path):
    tree = TREES[name](tmp_path)
    assert recognise(tree.source) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_one_folder_too_many_and_other_letter_case_are_no_hindrance(name, tmp_path):
    inner = tmp_path / "Download" / "Corpus"
    inner.mkdir(parents=True)
    tree = TREES[name](inner)
    if name not in {"emobox", "indomer"}:  # whose files name each other by their own spelling
        for path in sorted(inner.rglob("*"), key=lambda p: len(p.parts), reverse=True):
            if path.is_dir():
                path.rename(path.with_name(path.name.upper() if path.name.islower() else path.name.lower()))
    assert recognise(tmp_path / "Download") == [name]
    options = {key: str(inner / value) if key == "media" else value for key, value in tree.options.items()}
    ids = [clip.id for clip in read_corpus(name, tmp_path / "Download", options).clips]
    assert sorted(ids, key=str.lower) == sorted(tree.ids, key=str.lower)


@pytest.mark.parametrize("name", NAMES)
def test_half_a_download_an_empty_folder_and_another_corpus_are_one_clear_line(name, tmp_path):
    (tmp_path / "empty").mkdir()
    media(tmp_path / "other", "holiday.mp4")
    for folder in ("empty", "other"):
        with pytest.raises(RunError) as error:
            list(CORPORA.load(name)(tmp_path / folder, CORPORA.load(name).Options()).read().clips)
        assert "\n" not in str(error.value)
        assert str(tmp_path / folder) in str(error.value)


def test_a_folder_of_clips_is_no_corpus(tmp_path):
    media(tmp_path, "train/a.mp4", "test/b.wav", "deep/er/0001.mp4", "subject1/c.mp4", "videos/take.mp4")
    written(tmp_path / "labels.csv", "file,emotion\na.mp4,happy\n")
    assert recognise(tmp_path) == []
    _, report = preview(None, tmp_path, {}, 5)
    assert report.recognised == ""


def test_links_that_lead_nowhere_and_folders_that_may_not_be_seen_hinder_nobody(tmp_path, monkeypatch):
    tree = TREES["emodb"](tmp_path)
    (tree.source / "loop").symlink_to(tree.source / "loop")
    (tree.source / "away").symlink_to(tree.source / "nothing")
    (tree.source / "secret").mkdir()
    scan = os.scandir

    def refusing(folder):
        if os.fspath(folder).rstrip("/").endswith("secret"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr("os.scandir", refusing)
    assert recognise(tree.source) == ["emodb"]


def test_ingest_uses_what_it_recognises_and_says_so(tmp_path):
    tree = TREES["emodb"](tmp_path / "emodb")
    report = ingest(None, tree.source, tmp_path / "m.parquet", {}, lambda _: 1.0)
    assert (report.recognised, report.corpus, report.clips) == ("emodb", "emodb", 3)
    named = ingest("emodb", tree.source, tmp_path / "n.parquet", {}, lambda _: 1.0)
    assert named.recognised == ""


def test_two_corpora_in_one_folder_are_asked_about(tmp_path):
    TREES["meld"](tmp_path / "meld")
    TREES["veatic"](tmp_path / "veatic")
    with pytest.raises(RunError, match="looks like several corpora: meld, veatic; choose one with --corpus NAME"):
        ingest(None, tmp_path, tmp_path / "m.parquet", {}, lambda _: 1.0)
    shutil.rmtree(tmp_path / "veatic")
    assert recognise(tmp_path) == ["meld"]


def test_a_large_folder_is_not_walked_whole(tmp_path, monkeypatch):
    bounds = {"folders": 3, "many": 2, "others": 2, "depth": 2, "all": 9}
    monkeypatch.setattr("storage.corpora._shared.tree._LOOKED_AT", bounds)
    for outer in range(5):
        for inner in range(5):
            media(tmp_path / f"o{outer}" / f"i{inner}" / "deep", "a.mp4")
            media(tmp_path / f"o{outer}", *(f"{number}.wav" for number in range(5)))
    found = some_files(tmp_path)
    assert found == [f"o{outer}/{number}.wav" for outer in range(3) for number in range(2)]  # too deep for the others


@pytest.mark.parametrize("name", sorted({*NAMES, "folder", "table"}))
def test_a_reader_s_text_says_what_people_need(name):
    """What the corpus is, its tree, its splits and its quirks; its terms and what to cite."""
    reader = CORPORA.load(name)
    text = importlib.import_module(reader.__module__).__doc__
    assert issubclass(reader, Corpus)
    if name in {"folder", "table", "indomer"}:
        return
    for heading in ("Splits:", "Quirks:"):
        assert heading in text, f"{name}: no paragraph {heading}"
    assert "Tree" in text
    assert reader.citation
    assert reader.licence

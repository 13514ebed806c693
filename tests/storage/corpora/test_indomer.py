"""IndoMER's own layout: both class sets, the table, the damaged texts, and the way back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import RunError
from storage.corpora import read_corpus
from storage.exporters import export
from storage.exporters.indomer.label_files import write_labels
from storage.vocabulary.indomer_files import dump_split_json, parse_split_json
from tests.conformance.test_corpora import indomer_tree
from tests.exports import SPECS, make_store


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "indomer").mkdir()
    indomer_tree(tmp_path / "indomer")
    return tmp_path / "indomer"


def clips_of(root: Path, **options: str):
    listing = read_corpus("indomer", root, {"media": "all", **options})
    return {clip.id: clip for clip in listing.clips}, listing


def test_a_clip_has_every_label_the_repository_has_for_it(root):
    clips, listing = clips_of(root)
    clip = clips["clip_2_Opinions_1"]
    assert (clip.video, clip.audio) == ("videos/clip_2_Opinions_1.mp4", "audios/clip_2_Opinions_1.wav")
    assert (clip.label_raw, clip.label, clip.split, clip.group, clip.language) == ("jijik", "disgust", "val", "2", "id")
    assert clip.labels == {"sentiment": "negatif", "audio": "positif", "text": "netral", "video": "netral"}
    assert (listing.corpus, listing.root) == ("indomer", root / "all")
    assert [clips[i].split for i in ("clip_1_Test_1", "clip_1_Test_2", "clip_3_Test_1")] == ["train", "train", None]


def test_texts_are_whole_wherever_they_come_from(root):
    clips, listing = clips_of(root)
    assert clips["clip_1_Test_2"].text == "benar\uff1f"  # of the split file
    assert clips["clip_3_Test_1"].text == "sendiri\uff0c saja"  # of the table, repaired
    assert "2 texts of Annotations.csv had GBK punctuation read as Latin-1, repaired" in listing.report.notes


def test_what_does_not_fit_is_noted(root):
    _, listing = clips_of(root)
    notes = listing.report.notes
    assert "1 clip of Annotations.csv in no split file: no split" in notes
    assert "split train: 2 clips found, the published corpus has 1588" in notes
    assert not [note for note in notes if "differs" in note]
    path = root / "7_Class/7_class_val.json"
    path.write_bytes(path.read_bytes().replace(b"jijik", b"netral"))
    clips, changed = clips_of(root)
    assert clips["clip_2_Opinions_1"].label_raw == "netral"
    line = "clip clip_2_Opinions_1: emotion differs between the label files; the split's counts"
    assert line in changed.report.notes


@pytest.mark.parametrize(("order", "first"), [("7", "clip_1_Test_2"), ("3", "clip_1_Test_1")])
def test_the_order_is_that_of_the_files_asked_for(root, order, first):
    assert next(iter(clips_of(root, order=order)[0])) == first
    assert list(clips_of(root, order="annotations")[0])[-1] == "clip_3_Test_1"


def test_audio_can_be_that_of_the_video(root):
    clips, listing = clips_of(root, audio="video")
    assert clips["clip_1_Test_1"].audio == clips["clip_1_Test_1"].video == "videos/clip_1_Test_1.mp4"
    assert len(listing.report.extra) == 1 + 3


def test_the_repositorys_split_files_come_back_byte_for_byte(root, tmp_path):
    originals = {name: (root / name).read_bytes() for name in ("7_Class/7_class_val.json", "3_Class/3_class_val.json")}
    clips = [clip for clip in clips_of(root)[0].values() if clip.split == "val"]
    list(write_labels(tmp_path, {"val": clips}))
    assert {name: (tmp_path / name).read_bytes() for name in originals} == originals
    for data in originals.values():
        assert dump_split_json(parse_split_json(data)) == data


def test_a_store_of_it_exports_all_label_files(root, tmp_path):
    clips = [clip for clip in clips_of(root)[0].values() if clip.split]
    store = make_store(tmp_path / "store", clips, SPECS[:2])
    export("indomer", store, tmp_path / "out", {})
    for name in ("3_Class/3_class_train.json", "7_Class/7_class_val.json", "Annotations.csv"):
        assert (tmp_path / "out" / name).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: [p.unlink() for p in root.rglob("*.json")] + [(root / "Annotations.csv").unlink()], "found none"),
        (lambda root: (root / "7_Class/7_class_val.json").write_text("{}"), r"7_class_val\.json: .*expected a list"),
        (lambda root: (root / "Annotations.csv").write_text("a,b\n"), r"Annotations\.csv: .*expected the columns"),
    ],
)
def test_damaged_label_files_are_refused_by_name(root, change, message):
    change(root)
    with pytest.raises(RunError, match=message):
        list(clips_of(root)[0])


def test_a_media_folder_that_is_not_there_is_refused(root):
    with pytest.raises(RunError, match="media=nowhere: no such folder"):
        read_corpus("indomer", root, {"media": "nowhere"})

"""Whole runs on the command line: word times from ingest to an aligned export, and a main face by who speaks."""

from __future__ import annotations

import json

import pytest

from storage.exporters._shared.legacy_pickle import load
from storage.store.store import FeatureStore
from tests.extractors.test_speaking import FPS, RATE, frames, voice_samples
from tests.media import tone, write_clip

pytestmark = pytest.mark.without_prefect
WORDS = [{"word": "halo", "start": 0.1, "end": 0.45}, {"word": "dunia", "start": 0.5, "end": 0.9}]


def test_words_from_a_folder_of_whisperx_files_to_mmsas_pickle(merflow, tmp_path):
    names = ("one", "two", "three")
    for folder in ("words", "clips"):
        (tmp_path / folder).mkdir()
    for name in names:
        write_clip(tmp_path / "clips" / f"{name}.mp4", seconds=1.0, audio=tone(1.0))
        (tmp_path / "words" / f"{name}.json").write_text(json.dumps({"segments": [{"words": WORDS}]}))
    rows = "".join(
        f"{n},clips/{n}.mp4,{s},halo dunia,0.5\n" for n, s in zip(names, ("train", "val", "test"), strict=True)
    )
    (tmp_path / "t.csv").write_text("id,video,split,text,valence\n" + rows)
    (tmp_path / "c.yaml").write_text(
        "extractors:\n  - {name: gemaps}\n  - {name: words}\n"
        "  - {feature: voice, name: opensmile, feature_set: eGeMAPSv02, level: lld}\n"
        "  - {feature: ids, name: text, level: ids, words: true, weights: {random: {size: tiny}}}\n"
    )
    found = merflow("ingest", tmp_path / "t.csv", "--out", tmp_path / "m.parquet", "--words", tmp_path / "words")
    assert "word times of 3 clips" in found.stdout
    merflow("run", "--config", tmp_path / "c.yaml", "--manifest", tmp_path / "m.parquet", "--store", tmp_path / "s")
    options = ["dimension=valence", "align=words", "vision_feature=voice", "allow_synthetic=true"]
    merflow("export", "mmsa", tmp_path / "s", tmp_path / "out", *(part for o in options for part in ("--opt", o)))
    data = load(tmp_path / "out/aligned.pkl")["train"]
    assert data["text_bert"].shape == (1, 3, 2 + len("halodunia"))
    assert data["audio"].shape == (1, 11, 18)
    assert not data["audio"][0, [0, 10]].any()
    assert data["audio"][0, 1:10].any(axis=1).all()
    assert (data["audio"][0, 1] == data["audio"][0, 4]).all()  # pieces of one word


def test_words_found_in_the_audio_to_mmsas_pickle(merflow, tmp_path):
    (tmp_path / "clips").mkdir()
    rows = ""
    for name, split in (("one", "train"), ("two", "val"), ("three", "test")):
        write_clip(tmp_path / "clips" / f"{name}.mp4", seconds=1.5, audio=tone(1.5))
        rows += f"{name},clips/{name}.mp4,{split},halo dunia,0.5\n"
    (tmp_path / "t.csv").write_text("id,video,split,text,valence\n" + rows)
    (tmp_path / "c.yaml").write_text(
        "extractors:\n  - {name: gemaps}\n  - {name: alignment, weights: {random: {size: tiny}}}\n"
        "  - {feature: ids, name: text, level: ids, words: alignment, weights: {random: {size: tiny}}}\n"
    )
    merflow("ingest", tmp_path / "t.csv", "--out", tmp_path / "m.parquet")
    merflow("run", "--config", tmp_path / "c.yaml", "--manifest", tmp_path / "m.parquet", "--store", tmp_path / "s")
    options = ["dimension=valence", "align=words", "vision_feature=gemaps", "allow_synthetic=true"]
    merflow("export", "mmsa", tmp_path / "s", tmp_path / "out", *(part for o in options for part in ("--opt", o)))
    store = FeatureStore(tmp_path / "s")
    spoken, ids = store.get("one", "alignment"), store.get("one", "ids")
    assert spoken.values[:, 0].tolist() == [0, 1]
    assert ids.times[1].tolist() == spoken.times[0].tolist()  # h of halo
    assert ids.times[-2].tolist() == spoken.times[1].tolist()  # a of dunia
    assert store.specs["ids"].reads == ("audio", "text")
    assert store.specs["ids"].synthetic
    assert load(tmp_path / "out/aligned.pkl")["train"]["audio"].shape == (1, 11, 18)


@pytest.fixture
def dialogue(tmp_path, monkeypatch):
    """A drawn dialogue: no detector finds drawn faces, and no network takes a tone for a voice: both are given."""
    from extractors.face_tracks import FaceTracks
    from extractors.voice_activity import VoiceActivity
    from tests.extractors.test_speaking import BOTH, speech, tracks

    rows = tracks((0, 80), BOTH[1])
    monkeypatch.setattr(FaceTracks, "extract_clip", lambda self, media: rows)
    monkeypatch.setattr(VoiceActivity, "extract_clip", lambda self, media: speech())
    write_clip(tmp_path / "pair.mp4", frames=frames(0.0, 2.1), audio=voice_samples()[None], rate=RATE, fps=FPS)
    return tmp_path


def test_the_rule_of_the_main_face_reaches_every_network(merflow, dialogue):
    for rule, left in (("longest", None), ("speaking", 40.0), ("listener", 200.0)):
        (dialogue / "c.yaml").write_text(
            "extractors:\n  - {name: quality}\n  - {name: mae, weights: {random: {size: tiny}}}\n"
            f"faces: {{main_face: {{rule: {rule}}}}}\n"
        )
        store = dialogue / rule
        merflow("run", "--config", dialogue / "c.yaml", "--corpus", "folder", dialogue, "--store", store)
        with FeatureStore(store) as opened:
            assert opened.specs["mae"].inputs["faces"] == opened.specs["faces"].digest
            if left is None:
                assert "speaking" not in opened.specs  # costs nothing where nobody asks
                continue
            faces = opened.get("pair", "faces")
            assert faces.values[faces.valid][0, 0] == left
            assert dict(zip(opened.specs["quality"].columns, opened.get("pair", "quality").values[0], strict=True))[
                "speaker_decided"
            ]
            assert opened.get("pair", "mae").valid.sum() == faces.valid.sum()

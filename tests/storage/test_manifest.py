"""Manifests: every field comes back, in order, streamed; what is not one is refused in one line."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import islice
from pathlib import Path

import pytest

from storage.clip import Clip, Word
from storage.errors import StoreError
from storage.face_points import PointedFace
from storage.manifest import Manifest, write_manifest

FULL = Clip(
    "clip_1.a-b",
    video="vidéo/über alles.mp4",
    audio="s3://bucket/a b.wav",
    start=0.1,
    end=1 / 3 + 1,
    audio_channel=2,
    crop=(0.0, 0.25, 0.5, 1.0),
    main_face=PointedFace((0.25, 0.5), 1.5),
    split="train",
    text='你好, "quoted",\r\nnew\u2028line\tend ',
    words=(Word("你好,", 0.1, 0.5), Word("quoted", 0.5, 2 / 3)),
    language="zh-CN",
    speaker="0012",
    group="v7",
    label_raw="kebahagiaan",
    label="happy",
    labels={"audio": "positif", "täxt": ""},
    label_set=("joy", "überrascht"),
    votes={"E1": "Neutral; Sadness"},
    scales={"valence": "1..5"},
    series={"eeg": "s/eeg.mat"},
    folds={"speaker5": "0"},
    about={"task": "Speaking"},
    lacks=("text",),
    audio_is_cut=True,
    frame_rate=30000 / 1001,
    dimensions={"valence": 0.1 + 0.2, "arousal": -3.0},
    source_id="clip 1",
    audio_track=1,
    video_track=1,
    files={"video": "ab 1 2 3"},
    duration=1e-9,
    root="disk",
    fingerprint="abc",
)
CLIPS = [FULL, Clip("0001"), Clip("b", text="", video="b.mp4", start=0.0)]
SUFFIXES = pytest.mark.parametrize("suffix", ["parquet", "jsonl"])


def one_line(error) -> bool:
    return "\n" not in str(error.value)


def test_the_full_clip_sets_every_field():
    assert all(getattr(FULL, f.name) for f in fields(Clip))


@SUFFIXES
def test_every_field_comes_back(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    assert write_manifest(path, iter(CLIPS), root=tmp_path, corpus="Körpus") == 3
    manifest = Manifest.open(str(path))
    assert list(manifest) == CLIPS
    assert [repr(c) for c in manifest] == [repr(c) for c in CLIPS]
    assert len(manifest) == 3
    assert manifest.corpus == "Körpus"
    assert list(tmp_path.iterdir()) == [path]


@SUFFIXES
def test_no_clips(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    assert write_manifest(path, [], root=tmp_path, corpus="none") == 0
    assert (len(Manifest.open(path)), list(Manifest.open(path))) == (0, [])


@SUFFIXES
def test_streams(tmp_path, suffix):
    """Neither side holds all clips: writing takes a generator, reading stops early without reading on."""
    path = tmp_path / f"m.{suffix}"
    alive = 0

    def clips():
        nonlocal alive
        for i in range(10_000):
            alive += 1
            yield Clip(f"c{i}")

    write_manifest(path, clips(), root=tmp_path, corpus="many")
    assert alive == len(Manifest.open(path)) == 10_000
    assert [c.id for c in islice(Manifest.open(path), 2)] == ["c0", "c1"]


@SUFFIXES
def test_root_inside_moves_with_the_manifest(tmp_path, suffix):
    old = tmp_path / "old"
    (old / "media").mkdir(parents=True)
    write_manifest(old / f"m.{suffix}", CLIPS, root=old / "media", corpus="c")
    assert Manifest.open(old / f"m.{suffix}").roots == {"c": old / "media"}
    old.rename(tmp_path / "new")
    assert Manifest.open(tmp_path / "new" / f"m.{suffix}").roots == {"c": tmp_path / "new" / "media"}


def test_root_elsewhere_is_absolute_and_can_be_overridden(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest("deep/m.jsonl", CLIPS, Path("media"), "c")
    (tmp_path / "deep").rename(tmp_path / "moved")
    assert Manifest.open("moved/m.jsonl").roots == {"c": tmp_path / "media"}
    assert Manifest.open("moved/m.jsonl", {"": Path("/elsewhere")}).roots == {"c": Path("/elsewhere")}
    assert Manifest.open("moved/m.jsonl", {"c": Path("/elsewhere")}).roots == {"c": Path("/elsewhere")}
    with pytest.raises(StoreError, match="no media folder 'd'; media folders: c"):
        Manifest.open("moved/m.jsonl", {"d": Path("/elsewhere")})


@SUFFIXES
def test_refuses_a_repeated_id_and_keeps_the_old_file(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    write_manifest(path, CLIPS, root=tmp_path, corpus="c")
    with pytest.raises(StoreError, match="clip id 'x' occurs twice"):
        write_manifest(path, [Clip("x"), Clip("y"), Clip("x")], root=tmp_path, corpus="c")
    assert list(Manifest.open(path)) == CLIPS
    assert list(tmp_path.iterdir()) == [path]


@SUFFIXES
def test_refuses_names_that_are_not_utf8(tmp_path, suffix):
    with pytest.raises(StoreError, match=r"udce9.*rename the file"):
        write_manifest(tmp_path / f"m.{suffix}", [Clip("x", video="\udce9.mp4")], root=tmp_path, corpus="c")
    assert not list(tmp_path.iterdir())


def test_refuses_other_suffixes(tmp_path):
    for use in (Manifest.open, lambda p: write_manifest(p, CLIPS, root=tmp_path, corpus="c")):
        with pytest.raises(StoreError, match=r"expected a manifest named \*.parquet or \*.jsonl"):
            use(tmp_path / "m.csv")


@SUFFIXES
def test_refuses_missing_foreign_and_damaged_files(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(StoreError, match="no such manifest"):
        Manifest.open(path)
    for junk in (b"", b"junk", b"[1]\n", b'{"id": "a"}\n', b"\xff\xfe"):
        path.write_bytes(junk)
        with pytest.raises(StoreError, match="damaged, or not a manifest") as error:
            Manifest.open(path)
        assert one_line(error)


def test_refuses_foreign_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "m.parquet")
    with pytest.raises(StoreError, match="not a manifest"):
        Manifest.open(tmp_path / "m.parquet")


def test_refuses_an_unknown_format(tmp_path):
    header = {"merflow": {"format": 99, "corpus": "c", "root": "."}}
    (tmp_path / "m.jsonl").write_text(json.dumps(header) + "\n")
    with pytest.raises(StoreError, match="expected manifest format 1, 2, 3, 4, got 99"):
        Manifest.open(tmp_path / "m.jsonl")


def test_damage_found_while_reading_is_one_line(tmp_path):
    path = tmp_path / "m.jsonl"
    write_manifest(path, CLIPS, root=tmp_path, corpus="c")
    for line in ('{"id": "a b"}', '{"id": "a"', "[]", "{}"):
        path.write_text(path.read_text().splitlines()[0] + "\n" + line + "\n")
        with pytest.raises(StoreError) as error:
            list(Manifest.open(path))
        assert one_line(error)


def test_cut_parquet(tmp_path):
    path = tmp_path / "m.parquet"
    write_manifest(path, CLIPS, root=tmp_path, corpus="c")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="damaged"):
        Manifest.open(path)
    path.write_bytes(data[:4] + bytes(200) + data[204:])
    with pytest.raises(StoreError, match="damaged"):
        list(Manifest.open(path))

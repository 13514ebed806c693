"""What a consumer gets equals what the store holds, for random clips, splits, masks, labels and missing parts.

Values must come back bit for bit where the format keeps a feature's own rows; what was left out must be listed.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.clip import Clip
from storage.exporters import export
from storage.manifest import write_manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS

AUDIO = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("loudness", "pitch"), hop=0.01)
FACE = FeatureSpec("action_units", "action_units", "video", "frame", ("AU01_r", "AU01_c"), hop=0.04)
SPECS = (AUDIO, FACE)
FACES = FeatureSpec("faces", "faces", "video", "frame", ("x1", "y1"), hop=0.04)
GEMAPS = replace(AUDIO, columns=tuple(f"g{i}" for i in range(18)))
OPENFACE = replace(FACE, columns=OPENFACE_COLUMNS)
MADE_UP = {
    "frame",
    "face_id",
    "timestamp",
    "confidence",
    "success",
}  # OpenFace's leading columns, made of rows and masks
MERR = [
    FeatureSpec(name, name, modality, "utterance", tuple(f"{name}_{i}" for i in range(1024)))
    for name, modality in (("hubert", "audio"), ("mae", "video"), ("videomae", "video"))
]
SPLITS = ("train", "val", "test")


@st.composite
def corpora(draw):
    """Clips with their features; the first of each split lacks nothing, so that no split is left empty."""
    clips = []
    for number in range(draw(st.integers(3, 7))):
        whole = number < len(SPLITS)
        clips.append(
            {
                "id": f"clip_{number}",
                "split": SPLITS[number] if whole else draw(st.sampled_from(SPLITS)),
                "label": "happy" if whole else draw(st.sampled_from(["happy", "sad", None])),
                "number": 0.5 if whole else draw(st.sampled_from([-1.0, 0.25, None])),
                "rows": draw(st.integers(1, 9)),
                "seed": draw(st.integers(0, 99)),
                "missing": [] if whole else draw(st.lists(st.sampled_from([s.name for s in SPECS]), unique=True)),
            }
        )
    return clips


def features_of(clip: dict, spec: FeatureSpec) -> Features:
    rng = np.random.default_rng([clip["seed"], len(spec.name)])
    rows, hop = (1, 1.0) if spec.level == "utterance" else (clip["rows"], spec.hop)
    values = rng.random((rows, len(spec.columns)), np.float32)
    binary = [place for place, name in enumerate(spec.columns) if name.endswith("_c")]
    values[:, binary] = values[:, binary].round()
    valid = rng.random(rows) < 0.7
    valid[0] = True
    values[~valid] = np.nan
    start = np.arange(rows) * hop
    return Features(values, np.stack([start, start + hop], axis=1), valid)


def store_of(folder: Path, corpus: list[dict], specs=SPECS) -> FeatureStore:
    store = FeatureStore.create(folder / "store")
    clips = [
        Clip(
            c["id"],
            video="v.mp4",
            audio="v.mp4",
            split=c["split"],
            text="x",
            duration=1.0,
            label=c["label"],
            label_raw=c["label"],
            dimensions={} if c["number"] is None else {"valence": c["number"]},
        )
        for c in corpus
    ]
    write_manifest(store.path / "manifest.parquet", clips, root=folder, corpus="t")
    for spec in specs:
        entries = [
            Entry(c["id"], Failure(c["id"], spec.name, "no_audio", "none"))
            if spec.name in c["missing"]
            else Entry(c["id"], features_of(c, spec))
            for c in corpus
        ]
        store.put(f"s-{spec.name}", spec, entries, {})
    return store


def zeroed(features: Features) -> np.ndarray:
    return np.where(features.valid[:, None], features.values, np.float32(0))


def check_csd(out: Path, corpus: list[dict]) -> None:
    for spec in SPECS:
        with h5py.File(out / f"{spec.name}.csd") as file:
            data = file[spec.name]["data"]
            assert set(data) == {c["id"] for c in corpus if spec.name not in c["missing"]}
            for clip in (c for c in corpus if spec.name not in c["missing"]):
                own = features_of(clip, spec)
                np.testing.assert_array_equal(data[clip["id"]]["features"][:], own.values[own.valid])
                np.testing.assert_array_equal(data[clip["id"]]["intervals"][:], own.times[own.valid])
    with h5py.File(out / "labels/labels.csd") as file:
        found = {i: float(entry["features"][0, 0]) for i, entry in file["labels/data"].items()}
        assert found == {c["id"]: c["number"] for c in corpus if c["number"] is not None}


def check_hdf5(out: Path, corpus: list[dict]) -> None:
    with h5py.File(out) as file:
        for clip in (c for c in corpus if "gemaps" not in c["missing"]):
            own, group = features_of(clip, AUDIO), file["clips"][clip["id"]]
            np.testing.assert_array_equal(group["gemaps"][:], own.values)
            np.testing.assert_array_equal(group["mask/gemaps"][:], own.valid)


def check_parquet(out: Path, corpus: list[dict]) -> None:
    for spec in SPECS:
        table = pq.read_table(out / f"{spec.name}.parquet").to_pandas()
        for clip in (c for c in corpus if spec.name not in c["missing"]):
            own, found = features_of(clip, spec), table[table["clip_id"] == clip["id"]]
            np.testing.assert_array_equal(found[list(spec.columns)].to_numpy(np.float32), own.values)
            assert found["valid"].tolist() == own.valid.tolist()
    labels = pq.read_table(out / "clips.parquet").to_pandas().set_index("clip_id")["label"]
    assert {i: labels[i] for i in labels.index if isinstance(labels[i], str)} == {
        c["id"]: c["label"] for c in corpus if c["label"]
    }


def check_mertools(out: Path, corpus: list[dict]) -> None:
    kept = [c for c in corpus if not c["missing"]]
    for spec in SPECS:
        (folder,) = (out / "features").glob(f"{spec.name}*FRA")
        assert {p.stem for p in folder.iterdir()} == {c["id"] for c in kept}
        for clip in kept:
            np.testing.assert_array_equal(np.load(folder / f"{clip['id']}.npy"), zeroed(features_of(clip, spec)))
    npz = np.load(out / "label.npz", allow_pickle=True)
    found = {i: entry for name in npz.files for i, entry in npz[name].tolist().items()}
    assert found == {
        c["id"]: {"emo": c["label"], "val": c["number"]} for c in kept if c["label"] and c["number"] is not None
    }


def check_mmsa(out: Path, corpus: list[dict]) -> None:
    with (out / "unaligned.pkl").open("rb") as file:
        data = pickle.load(file)
    kept = {c["id"]: c for c in corpus if not c["missing"] and c["number"] is not None}
    ids = [i.split("$_$")[1] for split in data.values() for i in split["id"]]
    assert sorted(ids) == sorted(kept)
    for name, split in data.items():
        for place, i in enumerate(i.split("$_$")[1] for i in split["id"]):
            clip = kept[i]
            assert {"val": "valid"}.get(clip["split"], clip["split"]) == name
            assert split["regression_labels"][place] == np.float32(clip["number"])
            for key, spec in (("audio", AUDIO), ("vision", FACE)):
                assert split[f"{key}_lengths"][place] == clip["rows"]
                np.testing.assert_array_equal(split[key][place, : clip["rows"]], zeroed(features_of(clip, spec)))
                assert not split[key][place, clip["rows"] :].any()


def check_emobox(out: Path, corpus: list[dict]) -> None:
    kept = [c for c in corpus if not c["missing"] and c["label"]]
    lines = [json.loads(line) for line in (out / "data/t/t.jsonl").read_text().splitlines()]
    assert {line["key"]: line["emo"] for line in lines} == {f"t-{c['id']}": c["label"] for c in kept}
    for spec in SPECS:
        for clip in kept:
            found = np.load(out / "features" / spec.name / f"t-{clip['id']}.npy")
            np.testing.assert_array_equal(found, zeroed(features_of(clip, spec)))


def check_webdataset(out: Path, corpus: list[dict]) -> None:
    found: dict[str, bytes] = {}
    for path in out.rglob("*.tar"):
        with tarfile.open(path) as tar:
            found |= {f"{path.parent.name}/{m.name}": tar.extractfile(m).read() for m in tar if m.isfile()}
    for clip in (c for c in corpus if not c["missing"]):
        for spec in SPECS:
            member = found[f"{clip['split']}/{clip['id']}.{spec.name}.npy"]
            np.testing.assert_array_equal(np.load(io.BytesIO(member)), zeroed(features_of(clip, spec)))


def check_merr(out: Path, corpus: list[dict]) -> None:
    kept = {c["id"]: c for c in corpus if c["label"]}
    found = {}
    for path in out.glob("*.txt"):
        for line in path.read_text().splitlines():
            name, frames, emotion = line.split(" ")
            assert path.stem.endswith(f"_{kept[name]['split']}") or len(list(out.glob("*.txt"))) == 1
            found[name] = (int(frames), emotion)
    assert found == {i: (c["rows"], c["label"]) for i, c in kept.items()}
    for spec, folder in zip(MERR, ("HL-UTT", "mae_340_UTT", "maeV_399_UTT"), strict=True):
        for i, clip in kept.items():
            np.testing.assert_array_equal(np.load(out / folder / f"{i}.npy"), features_of(clip, spec).values[0])


def check_indomer(out: Path, corpus: list[dict]) -> None:
    names = [column["name"] for column in json.loads((out / "video_feature/columns.json").read_text())["columns"]]
    shared = [name for name in names if name in OPENFACE.columns and name not in MADE_UP]
    assert len(shared) > 600
    for split in SPLITS:
        for kind, spec in (("audio", GEMAPS), ("video", OPENFACE)):
            clips = [c for c in corpus if c["split"] == split and spec.name not in c["missing"]]
            with (out / f"{kind}_feature/{split}_{kind}_features.pkl").open("rb") as file:
                items = pickle.load(file)
            assert [Path(item[f"{kind}_name"]).stem for item in items] == [c["id"] for c in clips]
            for item, clip in zip(items, clips, strict=True):
                own, array = features_of(clip, spec), item[f"{kind}_feature"]
                columns = range(18) if kind == "audio" else [names.index(name) for name in shared]
                stored = range(18) if kind == "audio" else [spec.columns.index(name) for name in shared]
                found = array[: clip["rows"], list(columns)]
                np.testing.assert_array_equal(found, zeroed(own)[:, list(stored)])
                assert not array[clip["rows"] :].any()


CHECKS = {
    "indomer": (check_indomer, {"missing": "omit"}),
    "merr": (check_merr, {"unlabelled": "omit"}),
    "csd": (check_csd, {"dimension": "valence", "missing": "omit", "unlabelled": "omit"}),
    "hdf5": (check_hdf5, {"like": "gemaps"}),
    "parquet": (check_parquet, {"missing": "omit"}),
    "mertools": (check_mertools, {"missing": "omit", "unlabelled": "omit"}),
    "mmsa": (check_mmsa, {"dimension": "valence", "missing": "omit", "unlabelled": "omit"}),
    "emobox": (check_emobox, {"missing": "omit", "unlabelled": "omit"}),
    "webdataset": (check_webdataset, {"missing": "omit"}),
}


def as_many(count):
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", CHECKS)
@as_many(8)
@given(corpus=corpora())
def test_a_consumer_gets_what_the_store_holds(name, corpus):
    assert_held(name, corpus)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
@as_many(60)
@given(corpus=corpora())
def test_a_consumer_gets_what_the_store_holds_in_many_cases(name, corpus):
    assert_held(name, corpus)


def assert_held(name, corpus):
    check, options = CHECKS[name]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        specs = {"merr": (*MERR, FACES), "indomer": (GEMAPS, OPENFACE)}.get(name, SPECS)
        export(name, store_of(Path(folder), corpus, specs), out, options)
        check(out, corpus)

"""`merflow identify`: trees made by the reference's own procedure are recognised, and what is near is called near."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from configs.schema import ExtractorEntry, RunConfig
from extractors.core.media.clip_media import Media
from flows.single_files import SingleFiles
from storage.clip import Clip
from tests.extractors.speech_models import as_the_script_does, audio, save, scaled, tapped
from tests.media import tone, write_clip

pytestmark = pytest.mark.without_prefect
SECONDS = {"a": 0.6, "b": 1.1, "c": 12.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("weights") / "tiny-hubert", num_hidden_layers=4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i, (name, seconds) in enumerate(SECONDS.items()):
        samples = 0.3 * audio(seconds, seed=i)
        write_clip(folder / f"{name}.wav", video=False, audio=samples.reshape(1, -1), rate=16_000)
    return folder


@pytest.fixture
def store(clips, merflow, tmp_path):
    (tmp_path / "g.yaml").write_text("extractors:\n  - {name: gemaps}\n")
    merflow("ingest", clips, "--out", tmp_path / "m.parquet")
    merflow("run", "-c", tmp_path / "g.yaml", "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
    return tmp_path / "s"


@pytest.fixture
def config(model, tmp_path):
    path = tmp_path / "candidates.yaml"
    path.write_text(
        "extractors:\n"
        f"  - {{feature: tiny-hubert, name: hubert, weights: {{local: {model}}}}}\n"
        "  - {feature: absent, name: hubert, weights: {hub: nobody/nothing}}\n"
        "  - {feature: gemaps, name: gemaps}\n"
    )
    return path


def wave(clips, name):
    media = Media(Clip(name, audio=f"{name}.wav"), clips)
    media.decode()
    return media.audio().samples


def tree(folder, clips, make, dtype=np.float32):
    folder.mkdir()
    for name in SECONDS:
        np.save(folder / f"{name}.npy", make(wave(clips, name)).astype(dtype))
    return folder


def found(merflow, *line, expect=0):
    return json.loads(merflow("identify", *line, "--json", expect=expect).stdout)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_scripts_utterances_are_recognised(store, clips, config, model, merflow, tmp_path, dtype):
    given = tree(tmp_path / "UTT", clips, lambda w: as_the_script_does(model, w, "merbench").mean(axis=0), dtype)
    best = found(merflow, given, "-s", store, "-c", config)
    assert best["equal"] == ["tiny-hubert (recipe: merbench, level: utterance)"]
    assert best["clips"] == ["a", "b", "c"]
    assert list(best["not_tried"]) == ["absent"]
    others = [c for c in best["candidates"] if not c["equal"]]
    assert {c["options"]["recipe"] for c in others} == {"merflow", "mer2023"}
    assert all(c["distance"] > 0.01 for c in others)


def test_the_layer_of_frames_is_found(store, clips, config, model, merflow, tmp_path):
    given = tree(tmp_path / "FRA", clips, lambda w: tapped(model, scaled(model, w))[2][0].numpy())
    best = found(merflow, given, "-s", store, "-c", config)
    assert best["equal"] == ["tiny-hubert (recipe: merflow, layers: 2, level: frame)"]
    said = merflow("identify", given, "-s", store, "-c", config).stdout
    assert "equal: tiny-hubert (recipe: merflow, layers: 2, level: frame)" in said
    assert "not tried, for their weights are not on this machine: absent" in said


def test_what_is_only_near_is_said_to_be(store, clips, config, model, merflow, tmp_path):
    def noisy(samples):
        rows = tapped(model, scaled(model, samples))[3][0].numpy()
        return rows + np.random.default_rng(0).normal(0, 0.02 * np.abs(rows).mean(), rows.shape)

    given = tree(tmp_path / "FRA", clips, noisy)
    near = found(merflow, given, "-s", store, "-c", config, expect=1)
    assert near["equal"] == []
    assert near["candidates"][0]["options"]["layers"] == 3
    assert 0.005 < near["candidates"][0]["distance"] < 0.1
    said = merflow("identify", given, "-s", store, "-c", config, expect=1).stdout
    assert "equal: none; the nearest: tiny-hubert (recipe: merflow, layers: 3, level: frame)" in said


def test_open_smile_is_recognised_without_any_weights(store, clips, merflow, tmp_path):
    (tmp_path / "c.yaml").write_text("extractors:\n  - {feature: mine, name: gemaps}\n")
    files = SingleFiles(
        RunConfig(extractors=(ExtractorEntry(name="gemaps", feature_set="eGeMAPSv01a", level="functionals"),))
    )
    (tmp_path / "tree").mkdir()
    for name in SECONDS:
        np.save(tmp_path / "tree" / f"{name}.npy", files.features(clips / f"{name}.wav")["gemaps"].values[0])
    best = found(merflow, tmp_path / "tree", "-s", store, "-c", tmp_path / "c.yaml")
    assert best["equal"] == ["mine (feature_set: eGeMAPSv01a, level: functionals)"]


def test_how_frames_became_a_networks_input_is_found(merflow, tmp_path):
    (tmp_path / "v").mkdir()
    for i, name in enumerate("ab"):
        write_clip(tmp_path / "v" / f"{name}.mp4", seconds=0.4 + 0.2 * i, audio=tone(0.4 + 0.2 * i))
    (tmp_path / "g.yaml").write_text("extractors:\n  - {name: gemaps}\n")
    merflow("ingest", tmp_path / "v", "--out", tmp_path / "m.parquet")
    merflow("run", "-c", tmp_path / "g.yaml", "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
    entry = "{feature: vit, name: mae, weights: {random: {seed: 3, size: tiny}}}"
    (tmp_path / "c.yaml").write_text(f"faces: {{detector: center}}\nextractors:\n  - {entry}\n")
    made = {"name": "mae", "input": "frame", "preprocessing": "resize224_imagenet", "level": "utterance"}
    weights = {"weights": {"random": {"seed": 3, "size": "tiny"}}}
    files = SingleFiles(RunConfig(extractors=(ExtractorEntry(**made, **weights),)))
    (tmp_path / "tree").mkdir()
    for name in "ab":
        np.save(tmp_path / "tree" / f"{name}.npy", files.features(tmp_path / "v" / f"{name}.mp4")["mae"].values[0])
    best = found(merflow, tmp_path / "tree", "-s", tmp_path / "s", "-c", tmp_path / "c.yaml")
    assert "vit (input: frame, preprocessing: resize224_imagenet, level: utterance)" in best["equal"]
    assert all("resize224_imagenet" in text or "mae" in text for text in best["equal"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"no \.npy file is called like a clip of the store, such as a\.npy"),
        ({"a": np.zeros((2, 3, 4))}, r"expected an array of numbers, \(D,\) or \(T, D\), got \(2, 3, 4\)"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, "arrays of 3 and 4 columns; name a folder of one feature"),
    ],
)
def test_trees_that_cannot_be_compared_are_refused(store, config, merflow, tmp_path, arrays, message):
    (tmp_path / "tree").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "tree" / f"{name}.npy", array)
    assert re.search(message, merflow("identify", tmp_path / "tree", "-s", store, "-c", config, expect=2).stderr)

"""What every extractor must do; runs over all that are found, so a new one needs no edit here."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from extractors.core.extractor import EXTRACTORS, build_extractor
from extractors.core.media.clip_media import Media
from storage.clip import Clip, Word
from storage.errors import REASONS
from storage.records import Failure, Features
from tests.media import tone, write_clip
from tests.openface import command as stand_in

NAMES = EXTRACTORS.names()


OPTIONS = {"openface": {"command": stand_in()}}
"""Options of extractors that run something which no package ships."""


DETECTING = {"faces", "face_tracks"}
"""Extractors with the options of a detector, which need no weights."""


def loads_networks(name):
    """Whether the extractor's numbers come from weights that a test can make from a seed."""
    weights = EXTRACTORS.load(name).Options.model_fields.get("weights")
    return weights is not None and weights.get_default() is not None


def make(name, feature=None, **faces):
    options = dict(OPTIONS.get(name, {})) | (faces if name in DETECTING else {})
    if loads_networks(name):
        options["weights"] = {"random": {"seed": 0, "size": "tiny"}}
    extractor = build_extractor(name, feature or f"my_{name}", options)
    extractor.inputs |= {need: make(need, need, **faces).spec for need in extractor.needs}
    return extractor


class Loaded(dict):
    """Every extractor, loaded once and when it is first asked for."""

    def __missing__(self, name):
        self[name] = make(name)
        self[name].load("cpu")
        return self[name]


@pytest.fixture(scope="module")
def loaded():
    return Loaded()


@pytest.fixture(scope="module")
def clips(tmp_path_factory, feat_clips):
    """Odd clips, and real ones with and without a face."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "usual.mp4", seconds=1.3)
    write_clip(folder / "short.mp4", seconds=0.12, fps=25)
    write_clip(folder / "one_frame.mp4", seconds=0.04, fps=25, audio=tone(0.01))
    write_clip(folder / "silent.mp4", seconds=0.8, audio=np.zeros((1, 35_280), np.float32))
    write_clip(folder / "mute.mp4", seconds=0.6, audio=None)
    write_clip(folder / "blind.wav", seconds=0.6, video=False)
    (folder / "broken.mp4").write_bytes(b"no media at all" * 50)
    return [*sorted(folder.iterdir()), feat_clips / "single_face.mp4"]


def media_of(path):
    text = None if path.stem == "mute" else f"what {path.stem} says"
    end = 0.5 if path.stem == "single_face" else None  # of three seconds: enough for every window
    words = () if text is None else (Word("what", 0.0, 0.02), Word("says", 0.02, 0.03))
    media = Media(Clip(path.stem, video=path.name, audio=path.name, text=text, words=words, end=end), path.parent)
    media.decode()
    return media


def run(extractor, loaded, paths):
    """Outcomes of some clips, with what the extractor needs extracted before."""
    batch = [media_of(path) for path in paths]
    set_needs(extractor, loaded, batch)
    return extractor.extract(batch)


def set_needs(extractor, loaded, batch):
    for need in extractor.needs:
        set_needs(loaded[need], loaded, batch)
        for media, outcome in zip(batch, loaded[need].extract(batch), strict=True):
            media.set_feature(need, outcome)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_known_without_weights_and_names_every_column(name):
    spec = make(name).spec
    assert spec.name == f"my_{name}"
    assert spec.extractor == name
    assert len(set(spec.columns)) == len(spec.columns) > 0
    assert len(spec.units) in {1, len(spec.columns)}
    assert spec.source
    assert make(name).spec == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    inputs = make(name).inputs.values()
    assert spec.synthetic == (loads_networks(name) or any(i.synthetic for i in inputs))
    assert spec.inputs == {need: make(name).inputs[need].digest for need in make(name).needs}
    assert all(option.type and option.meaning for option in EXTRACTORS.options(name))
    assert make(name).loaded is False


def test_listing_and_specs_import_no_network():
    """In one process, one after another: the first one that brings a heavy library is the one named."""
    code = (
        "import json, sys\nfrom tests.conformance.test_extractors import NAMES, make\n"
        "heavy = {'torch', 'transformers', 'feat', 'prefect', 'dask'}\n"
        "found = {name: (make(name).spec, sorted(heavy & sys.modules.keys()))[1] for name in NAMES}\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: [] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_face_settings_are_in_the_digest_of_what_looks_at_faces_only(name):
    changed = make(name).spec.digest != make(name, detect_every=3).spec.digest
    assert changed == looks_at_faces(name)


def looks_at_faces(name):
    return name in DETECTING or any(looks_at_faces(need) for need in make(name).needs)


@pytest.mark.parametrize("name", NAMES)
def test_every_clip_has_one_outcome_and_twice_is_the_same(name, loaded, clips):
    extractor = loaded[name]
    outcomes = run(extractor, loaded, clips)
    assert len(outcomes) == len(clips)
    for path, outcome in zip(clips, outcomes, strict=True):
        if isinstance(outcome, Failure):
            assert outcome.reason in REASONS
            assert (outcome.clip_id, outcome.feature) == (path.stem, f"my_{name}")
        else:
            check(outcome, extractor.spec, media_of(path))
    again = run(extractor, loaded, clips[::-1])
    for one, other in zip(outcomes, reversed(again), strict=True):
        assert type(one) is type(other)
        if isinstance(one, Features):
            assert one.values.tobytes() == other.values.tobytes()
            assert one.times.tobytes() == other.times.tobytes()
    reasons = {p.name: o.reason for p, o in zip(clips, outcomes, strict=True) if isinstance(o, Failure)}
    for absent, reason in ABSENT.get(name, ABSENT[extractor.modality]).items():
        assert reasons.pop(absent) == reason
    assert set(reasons.values()) <= {"too_short"}
    assert "usual.mp4" not in reasons
    assert "silent.mp4" not in reasons
    assert "single_face.mp4" not in reasons


ABSENT = {
    "audio": {"broken.mp4": "undecodable", "mute.mp4": "no_audio"},
    "video": {"broken.mp4": "undecodable", "blind.wav": "no_video"},
    "text": {"mute.mp4": "no_text"},
    "words": {"mute.mp4": "no_words"},
}


OF_TRACKS = {"face_tracks", "speaking"}
"""A clip without a face has no rows of them."""


def check(features: Features, spec, media) -> None:
    assert features.values.shape[1] == len(spec.columns)
    assert len(features.values) > 0 or spec.extractor in OF_TRACKS
    assert features.values.dtype == np.float32
    assert (features.times >= 0).all()
    if spec.modality != "text":
        end = media.audio().end if spec.modality == "audio" else media.frame_times()[-1, 1]
        assert (features.times[:, 1] <= end + 1e-6).all()
    if spec.level == "utterance":
        assert len(features.values) == 1

"""What every extractor must do; runs over all that are found, so a new one needs no edit here."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from configs.schema import Faces
from extractors.core.base import build_extractor, extractor_class, extractor_names
from extractors.core.media import Media
from storage.errors import REASONS
from storage.records import Clip, Failure, Features
from tests.media import tone, write_clip

NAMES = extractor_names()


def make(name, **faces):
    has_weights = "weights" in extractor_class(name).Options.model_fields
    options = {"weights": {"random": {"seed": 0, "size": "tiny"}}} if has_weights else {}
    return build_extractor(name, f"my_{name}", options, Faces(**faces))


@pytest.fixture(scope="module")
def loaded():
    """Every extractor, loaded once."""
    made = {name: make(name) for name in NAMES}
    for extractor in made.values():
        extractor.load("cpu")
    return made


@pytest.fixture(scope="module")
def clips(tmp_path_factory, feat_clips):
    """Odd clips, and real ones with and without a face."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "usual.mp4", seconds=1.3)
    write_clip(folder / "short.mp4", seconds=0.12, fps=25)
    write_clip(folder / "one_picture.mp4", seconds=0.04, fps=25, audio=tone(0.01))
    write_clip(folder / "silent.mp4", seconds=0.8, audio=np.zeros((1, 35_280), np.float32))
    write_clip(folder / "mute.mp4", seconds=0.6, audio=None)
    write_clip(folder / "blind.wav", seconds=0.6, video=False)
    (folder / "broken.mp4").write_bytes(b"no media at all" * 50)
    return [*sorted(folder.iterdir()), feat_clips / "single_face.mp4"]


def media_of(path):
    media = Media(Clip(path.stem, video=path.name, audio=path.name), path.parent)
    media.decode()
    return media


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
    assert spec.synthetic == ("weights" in extractor_class(name).Options.model_fields)
    assert make(name).loaded is False


@pytest.mark.parametrize("name", NAMES)
def test_listing_and_specs_import_no_network(name):
    code = (
        "import sys\nfrom tests.conformance.test_extractors import make\n"
        f"spec = make({name!r}).spec\n"
        "print([m for m in ('torch', 'transformers', 'feat', 'prefect', 'dask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", NAMES)
def test_face_settings_are_in_the_digest_of_what_looks_at_faces_only(name):
    changed = make(name).spec.digest != make(name, detect_every=3).spec.digest
    assert changed == ("faces" in make(name).spec.recipe)


@pytest.mark.parametrize("name", NAMES)
def test_every_clip_has_one_outcome_and_twice_is_the_same(name, loaded, clips):
    extractor = loaded[name]
    outcomes = extractor.extract([media_of(p) for p in clips])
    assert len(outcomes) == len(clips)
    for path, outcome in zip(clips, outcomes, strict=True):
        if isinstance(outcome, Failure):
            assert outcome.reason in REASONS
            assert (outcome.clip_id, outcome.feature) == (path.stem, f"my_{name}")
        else:
            check(outcome, extractor.spec, media_of(path))
    again = extractor.extract([media_of(p) for p in reversed(clips)])
    for one, other in zip(outcomes, reversed(again), strict=True):
        assert type(one) is type(other)
        if isinstance(one, Features):
            assert one.values.tobytes() == other.values.tobytes()
            assert one.times.tobytes() == other.times.tobytes()
    reasons = {p.name: o.reason for p, o in zip(clips, outcomes, strict=True) if isinstance(o, Failure)}
    assert reasons.pop("broken.mp4") == "undecodable"
    absent = {"audio": ("mute.mp4", "no_audio"), "video": ("blind.wav", "no_video")}[extractor.modality]
    assert reasons.pop(absent[0]) == absent[1]
    assert set(reasons.values()) <= {"too_short"}
    assert "usual.mp4" not in reasons
    assert "silent.mp4" not in reasons
    assert "single_face.mp4" not in reasons


def check(features: Features, spec, media) -> None:
    assert features.values.shape[1] == len(spec.columns)
    assert len(features.values) > 0
    assert features.values.dtype == np.float32
    end = media.audio().end if spec.modality == "audio" else media.frame_times()[-1, 1]
    assert features.times[0, 0] >= 0
    assert features.times[-1, 1] <= end + 1e-6
    if spec.level == "utterance":
        assert len(features.values) == 1

"""GeMAPS is openSMILE's own output, bit for bit."""

from __future__ import annotations

import wave

import numpy as np
import opensmile
import pytest

from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from storage.clip import Clip
from storage.records import Failure
from tests.media import write_clip
from tests.odd_media import encode, noise, remux


def gemaps(**options):
    extractor = build_extractor("gemaps", "gemaps", options)
    extractor.load("cpu")
    return extractor


def write_audio(path, samples):
    """A 16 kHz mono WAV of exactly these int16 samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def media_of(path):
    media = Media(Clip("c", audio=path.name), path.parent)
    media.decode()
    return media


SETS = {
    "GeMAPSv01a": (18, 62),
    "GeMAPSv01b": (18, 62),
    "eGeMAPSv01a": (23, 88),
    "eGeMAPSv01b": (23, 88),
    "eGeMAPSv02": (25, 88),
    "ComParE_2016": (65, 6373),
}


LEVELS = {"lld": opensmile.FeatureLevel.LowLevelDescriptors, "functionals": opensmile.FeatureLevel.Functionals}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    return media_of(write_clip(tmp_path_factory.mktemp("audio") / "a.mp4", seconds=1.7))


@pytest.mark.filterwarnings("ignore:Feature set .* is deprecated:UserWarning")
@pytest.mark.parametrize("level", ["lld", "functionals"])
@pytest.mark.parametrize("feature_set", SETS)
def test_equals_opensmile_bit_for_bit(media, feature_set, level):
    extractor = gemaps(feature_set=feature_set, level=level)
    (found,) = extractor.extract([media])
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet[feature_set], feature_level=LEVELS[level])
    expected = smile.process_signal(media.audio().samples, 16_000)
    assert found.values.tobytes() == expected.to_numpy(dtype=np.float32).tobytes()
    assert found.times[:, 0].tolist() == expected.index.get_level_values("start").total_seconds().tolist()
    assert found.times[-1, 1] == pytest.approx(media.audio().end)
    assert found.values.shape[1] == SETS[feature_set][level == "functionals"]
    assert extractor.spec.columns == tuple(smile.feature_names)
    assert len(extractor.spec.units) in {1, len(extractor.spec.columns)}


@pytest.mark.parametrize("level", ["lld", "functionals"])
@pytest.mark.parametrize("feature_set", SETS)
@pytest.mark.parametrize(("samples", "reason"), [(1, "too_short"), (959, "too_short"), (960, None), (1600, None)])
def test_the_shortest_audio_is_sixty_milliseconds(tmp_path, feature_set, level, samples, reason):
    media = media_of(write_audio(tmp_path / "short.wav", np.zeros(samples, np.int16)))
    (outcome,) = gemaps(feature_set=feature_set, level=level).extract([media])
    assert getattr(outcome, "reason", None) == reason
    if reason is None:
        assert np.isfinite(outcome.values).all()


def test_units_follow_the_columns():
    spec = gemaps(feature_set="eGeMAPSv02").spec
    units = dict(zip(spec.columns, spec.units, strict=True))
    assert units["F1frequency_sma3nz"] == "Hz"
    assert units["HNRdBACF_sma3nz"] == "dB"
    assert units["mfcc1_sma3"] == ""


def test_the_default_is_indomers_18_columns(tmp_path):
    spec = gemaps().spec
    assert len(spec.columns) == 18
    assert spec.columns[0] == "Loudness_sma3"
    assert spec.columns[-1] == "F3amplitudeLogRelF0_sma3nz"
    (found,) = gemaps().extract([media_of(write_clip(tmp_path / "a.mp4", seconds=1.0))])
    assert found.values.shape == (96, 18)


def test_silence_is_finite_and_fifty_milliseconds_are_too_short(tmp_path):
    silent = media_of(write_clip(tmp_path / "s.wav", audio=np.zeros((1, 44_100), np.float32), video=False))
    short = media_of(write_clip(tmp_path / "t.wav", seconds=0.05, video=False))
    found, failure = gemaps().extract([silent, short])
    assert np.isfinite(found.values).all()
    assert isinstance(failure, Failure)
    assert failure.reason == "too_short"
    assert failure.message == "800 samples of audio at 16000 Hz, openSMILE needs 960 (60 ms)"


def test_feature_set_is_in_the_digest():
    assert gemaps().spec.digest != gemaps(feature_set="GeMAPSv01a").spec.digest


def test_rows_in_a_hole_of_the_audio_are_not_valid(tmp_path):
    """The hole stays where it was; the rows whose centre lies in it have no values, all others openSMILE's."""
    source = encode(tmp_path / "a.mkv", audio=noise(3.0, 48_000), codec="aac", rate=48_000)
    path = remux(source, tmp_path / "hole.mkv", keep=lambda _, n: not 60 <= n < 66)
    media = Media(Clip("c", audio=path.name), tmp_path, video=False)
    media.decode()
    extractor = build_extractor("gemaps", "gemaps", {})
    extractor.load("cpu")
    (features,) = extractor.outcomes([media])
    ((begin, end),) = media.audio().holes
    centres = features.times.mean(axis=1)
    assert end - begin == pytest.approx(6 * 1024 / 48_000, abs=0.001)
    assert (features.valid == ~((begin <= centres) & (centres < end))).all()
    assert 10 <= (~features.valid).sum() <= 14
    (plain,) = extractor.extract([media])
    np.testing.assert_array_equal(features.values[features.valid], plain.values[features.valid])

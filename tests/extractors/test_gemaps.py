"""GeMAPS is openSMILE's own output, bit for bit."""

from __future__ import annotations

import numpy as np
import opensmile
import pytest

from configs.schema import Faces
from extractors.core.base import build_extractor
from extractors.core.media import Media
from storage.records import Clip, Failure
from tests.media import write_clip


def gemaps(**options):
    extractor = build_extractor("gemaps", "gemaps", options, Faces())
    extractor.load("cpu")
    return extractor


def media_of(path):
    media = Media(Clip("c", audio=path.name), path.parent)
    media.decode()
    return media


@pytest.mark.parametrize("feature_set", ["GeMAPSv01b", "eGeMAPSv02"])
def test_equals_opensmile_bit_for_bit(tmp_path, feature_set):
    media = media_of(write_clip(tmp_path / "a.mp4", seconds=1.7))
    (found,) = gemaps(feature_set=feature_set).extract([media])
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet[feature_set], feature_level="lld")
    expected = smile.process_signal(media.audio().samples, 16_000)
    assert found.values.tobytes() == expected.to_numpy(dtype=np.float32).tobytes()
    assert found.times[:, 0].tolist() == expected.index.get_level_values("start").total_seconds().tolist()
    assert found.times[-1, 1] == pytest.approx(media.audio().end)


def test_the_default_is_indomers_18_columns(tmp_path):
    spec = gemaps().spec
    assert len(spec.columns) == 18
    assert spec.columns[0] == "Loudness_sma3"
    assert spec.columns[-1] == "F3amplitudeLogRelF0_sma3nz"
    (found,) = gemaps().extract([media_of(write_clip(tmp_path / "a.mp4", seconds=1.0))])
    assert found.values.shape == (96, 18)


def test_functionals_are_one_row(tmp_path):
    (found,) = gemaps(feature_set="eGeMAPSv02", level="functionals").extract(
        [media_of(write_clip(tmp_path / "a.mp4", seconds=1.0))]
    )
    assert found.values.shape == (1, 88)
    assert found.times.tolist() == [[0.0, 1.0]]


def test_silence_is_finite_and_fifty_milliseconds_are_too_short(tmp_path):
    silent = media_of(write_clip(tmp_path / "s.wav", audio=np.zeros((1, 44_100), np.float32), video=False))
    short = media_of(write_clip(tmp_path / "t.wav", seconds=0.05, video=False))
    found, failure = gemaps().extract([silent, short])
    assert np.isfinite(found.values).all()
    assert isinstance(failure, Failure)
    assert failure.reason == "too_short"
    assert "openSMILE needs 60 ms" in failure.message


def test_feature_set_is_in_the_digest():
    assert gemaps().spec.digest != gemaps(feature_set="GeMAPSv01a").spec.digest

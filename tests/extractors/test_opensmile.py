"""openSMILE's sets: what the package itself gives, value for value and time for time."""

from __future__ import annotations

import warnings

import numpy as np
import opensmile
import pytest

from configs.errors import RunError
from extractors.core.extractor import build_extractor
from storage.records import Failure
from tests.extractors.speech_models import audio, media_of

LEVELS = {"lld": "LowLevelDescriptors", "deltas": "LowLevelDescriptors_Deltas", "functionals": "Functionals"}
SETS = {"IS09": 384, "IS10": 1582, "IS11": 4368, "IS12": 6125, "IS13": 6373, "emobase": 988, "ComParE_2016": 6373}


def build(**options):
    extractor = build_extractor("opensmile", "o", options)
    extractor.load("cpu")
    return extractor


def package(name, level, samples):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel[LEVELS[level]])
    return smile.process_signal(samples, 16_000)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    return media_of(tmp_path_factory.mktemp("o"), 0.3 * audio(1.3))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in {"IS10", "IS11", "IS12"} else n for n in SETS]
)
def test_every_set_and_level_is_the_packages(name, media):
    for level in LEVELS:
        extractor = build(feature_set=name, level=level)
        (found,) = extractor.extract([media])
        expected = package(name, level, media.audio().samples)
        np.testing.assert_array_equal(found.values, expected.to_numpy())
        starts, ends = (expected.index.get_level_values(key).total_seconds() for key in ("start", "end"))
        np.testing.assert_array_equal(found.times, np.stack([starts, ends], axis=1))
        assert extractor.spec.columns == tuple(expected.columns)
    assert len(build(feature_set=name).spec.columns) == SETS[name]


def test_deltas_have_two_rows_more_and_times_that_say_so(media):
    (lld,), (deltas,) = (build(feature_set="IS09", level=level).extract([media]) for level in ("lld", "deltas"))
    assert len(deltas.values) == len(lld.values) + 2


def test_a_level_that_a_set_lacks_is_refused():
    with pytest.raises(RunError, match="openSMILE's eGeMAPSv02 has no level deltas; lld and functionals are there"):
        build(feature_set="eGeMAPSv02", level="deltas")


@pytest.mark.parametrize("name", ["IS10", "emobase"])
def test_too_few_samples_have_a_reason(name, tmp_path):
    (failed,) = build(feature_set=name, level="lld").extract([media_of(tmp_path, 0.3 * audio(0.03))])
    assert isinstance(failed, Failure)
    assert (failed.reason, failed.message) == (
        "too_short",
        f"480 samples of audio at 16000 Hz are too few for openSMILE's {name}",
    )

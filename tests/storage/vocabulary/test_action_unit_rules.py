"""Peak frame, active AUs and emotion of a clip, by both published rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import StoreError
from storage.records import Features
from storage.vocabulary.action_unit_rules import (
    EMOTIONS,
    MERR_LABELS,
    RULES,
    chronological_peaks,
    clip_emotion,
    emotions_at,
    frequent_aus,
    peak_aus,
    peak_frame,
)

R = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
C = (*R[:-1], "AU28", "AU45")
COLUMNS = ("gaze_0_x", *(f"{au}_r" for au in R), *(f"{au}_c" for au in C), "feat_AU01")
MERR = {"neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt"}


def clip(*rows, failed=(), fps=25.0) -> Features:
    """Rows as `{"AU05": 1.5}`: that intensity, and present; `{"AU05": (1.5, 0)}` sets both."""
    values = np.full((len(rows), len(COLUMNS)), 0.0, np.float32)
    values[:, [0, -1]] = 9  # not AUs: must not count
    for i, row in enumerate(rows):
        for au, given_ in row.items():
            r, c = given_ if isinstance(given_, tuple) else (given_, 1)
            if au in R:
                values[i, COLUMNS.index(f"{au}_r")] = r
            values[i, COLUMNS.index(f"{au}_c")] = c
    valid = ~np.isin(np.arange(len(rows)), failed)
    values[~valid] = np.nan
    starts = np.arange(len(rows)) / fps
    return Features(values, np.stack([starts, starts + 1 / fps], axis=1), valid)


def curve(*sums, failed=(), fps=25.0) -> Features:
    return clip(*({"AU25": float(s)} for s in sums), failed=failed, fps=fps)


def test_documented_takes_the_row_where_the_frequent_aus_are_strongest():
    found = clip({"AU12": 1, "AU06": 1}, {"AU12": 2, "AU06": 1.5}, {"AU12": 1, "AU04": 5}, {"AU06": 2.5})
    assert frequent_aus(found, COLUMNS) == ("AU06", "AU12")
    peak = peak_frame(found, COLUMNS, "documented")
    assert (peak.row, peak.frame, peak.time, peak.aus) == (1, 2, 0.04, ("AU06", "AU12"))
    assert peak.score == 3.5


def test_mer_factory_takes_the_row_where_all_aus_together_are_strongest():
    found = clip({"AU12": 1, "AU06": 1}, {"AU12": 2, "AU06": 1.5}, {"AU12": 1, "AU04": 5, "AU45": (0.81, 0)})
    peak = peak_frame(found, COLUMNS, "mer_factory")
    assert (peak.row, peak.aus) == (2, ("AU04", "AU12", "AU45"))
    assert peak.score == pytest.approx(6.81)
    assert peak_aus(found, COLUMNS, 2) == ("AU04", "AU12")


@pytest.mark.parametrize("rule", RULES)
def test_the_first_of_equal_rows_is_the_peak_and_a_failed_row_never(rule):
    assert peak_frame(curve(1, 3, 2, 3), COLUMNS, rule).row == 1
    assert peak_frame(curve(9, 3, 2, 3, failed=[0, 1]), COLUMNS, rule).row == 3
    assert peak_frame(curve(1, 2, 3), COLUMNS, rule).row == 2  # the last row may be one
    assert peak_frame(clip({}, {}, failed=[0]), COLUMNS, rule).row == 1  # nothing active: the first valid row
    assert peak_frame(curve(1, 2, failed=[0, 1]), COLUMNS, rule) is None
    assert clip_emotion(curve(1, 2, failed=[0, 1]), COLUMNS, rule) is None


def test_frequent_means_half_of_the_valid_rows_or_else_the_most_frequent():
    blinks = {"AU45": 1}
    half = clip({"AU01": 1, **blinks}, {"AU01": 1, "AU28": 1, **blinks}, {"AU28": 1, **blinks}, {"AU02": 1}, blinks)
    assert frequent_aus(half, COLUMNS) == ("AU01", "AU28")  # none reaches 2.5 of 5 rows: the highest count
    without = clip({"AU01": 1}, {"AU01": 1, "AU28": 1}, {"AU28": 1}, {"AU02": 1}, {"AU02": 1}, failed=[3, 4])
    assert frequent_aus(without, COLUMNS) == ("AU01", "AU28")  # 2 of 3 valid rows; AU02 only in failed ones
    assert frequent_aus(clip({"AU01": 1, "AU02": 1}, {"AU01": 1}), COLUMNS) == ("AU01", "AU02")
    assert frequent_aus(clip({"AU45": 1}, {}), COLUMNS) == ()


def test_an_au_is_active_above_its_threshold_only_as_openface_wrote_it():
    """0.8 became 0.80000001 on its way through float32; MER-Factory read it as 0.8."""
    found = clip({"AU01": (0.8, 0), "AU02": (0.81, 0)})
    assert float(found.values[0, 1]) > 0.8
    assert peak_frame(found, COLUMNS, "mer_factory").aus == ("AU02",)


@pytest.mark.parametrize(("word", "aus"), EMOTIONS["documented"].items())
def test_documented_emotions_need_every_au(word, aus):
    whole = clip(dict.fromkeys(aus, 1.5))
    assert [(e.word, e.score) for e in emotions_at(whole, COLUMNS, 0, "documented")] == [(word, 1.5)]
    assert clip_emotion(whole, COLUMNS, "documented") == word
    assert clip_emotion(clip(dict.fromkeys(aus[1:], 1.5)), COLUMNS, "documented") == "neutral"


def test_mer_factory_emotions_need_half_of_the_aus_and_a_mean_of_their_intensities():
    def shown(**aus):
        return [(e.word, e.strength) for e in emotions_at(clip(aus), COLUMNS, 0, "mer_factory")]

    assert shown(AU20=0.8) == [("worried", "slight")]  # AU28 has no intensity: AU20 alone is the mean
    assert shown(AU20=1.6) == [("worried", "moderate")]
    assert shown(AU20=2.41, AU28=0) == [("worried", "strong")]
    assert shown(AU20=0.79) == []
    assert shown(AU28=1) == []
    assert shown(AU06=0.7, AU12=0.9, AU14=(0.8, 0)) == [("happy", "slight")]  # the mean is 0.8 exactly
    assert shown(AU06=5, AU12=(5, 0), AU14=(5, 0)) == []  # one of three is under half
    assert [w for w, _ in shown(AU09=2, AU15=2, AU01=1, AU04=1)] == ["disgust", "sad"]  # highest first


def test_peaks_in_time_are_local_maxima_and_never_the_ends():
    assert chronological_peaks(curve(5, 1, 0.7, 1, 5), COLUMNS, 1) == ()
    assert chronological_peaks(curve(0, 1, 0, 0.7, 0, 2, 0), COLUMNS, 1) == (1, 5)  # 0.7 is too low
    assert chronological_peaks(curve(0, 1, 0, 2, 0, 1.5, 0), COLUMNS, 3) == (3,)  # the lower ones are too near
    assert chronological_peaks(curve(0, 1, 0, 9, 0, failed=[3]), COLUMNS, 1) == (1,)  # a failed row counts as 0


def test_mer_factory_names_the_emotion_of_the_overall_peak_else_of_the_first():
    happy, sad = {"AU06": 2.0, "AU12": 2.0, "AU14": 2.0}, {"AU01": 3.0, "AU04": 3.0, "AU15": 3.0, "AU14": 3.0}
    assert clip_emotion(clip({}, happy, {}, {}, {}, {}, sad, {}), COLUMNS, "mer_factory", 1) == "sad"
    # The overall peak is an end, so it is no peak in time; the one before it is 0.08 s away, then 0.12 s.
    assert clip_emotion(clip({}, happy, {}, {}, {}, happy, {}, sad), COLUMNS, "mer_factory", 1) == "happy"
    near = clip({}, {"AU20": 1}, {}, {}, {}, happy, {}, sad)
    assert clip_emotion(near, COLUMNS, "mer_factory", 1) == "happy"
    far = clip({}, {"AU20": 1}, {}, {}, happy, {}, {}, sad)
    assert clip_emotion(far, COLUMNS, "mer_factory", 1) == "worried"
    assert clip_emotion(clip(sad, {}, {}), COLUMNS, "mer_factory") == "neutral"
    assert clip_emotion(clip({}, sad, {}), COLUMNS, "documented") == "sadness"


def test_peaks_without_an_emotion_are_passed_over():
    nothing, happy = {"AU25": 9.0}, {"AU06": 2.0, "AU12": 2.0, "AU14": 2.0}
    assert clip_emotion(clip({}, nothing, {}, {}, {}, {}, happy, {}), COLUMNS, "mer_factory", 1) == "happy"


def test_rows_that_are_not_valid_show_nothing():
    found = clip({"AU06": 5, "AU12": 5, "AU14": 5}, {"AU06": 1}, failed=[0])
    assert peak_aus(found, COLUMNS, 0) == ()
    assert all(emotions_at(found, COLUMNS, 0, rule) == () for rule in RULES)


def test_every_word_has_a_merr_label_but_disgust():
    words = {"neutral"}.union(*EMOTIONS.values())
    assert set(MERR_LABELS) == words
    assert {w for w in words if MERR_LABELS[w] is None} == {"disgust"}
    assert {label for label in MERR_LABELS.values() if label} == MERR - {"doubt"}


def test_missing_columns_are_named():
    found = clip({"AU06": 1})
    only_r = Features(found.values[:, 1:18], found.times, found.valid)
    assert peak_frame(only_r, COLUMNS[1:18], "mer_factory").row == 0  # needs no presence
    with pytest.raises(StoreError, match="no AU presence columns: expected names such as AU01_c"):
        peak_frame(only_r, COLUMNS[1:18], "documented")
    with pytest.raises(StoreError, match="no AU presence columns"):
        clip_emotion(only_r, COLUMNS[1:18], "mer_factory")
    none = Features(found.values[:, :1], found.times, found.valid)
    with pytest.raises(StoreError, match="no AU intensity columns: expected names such as AU01_r"):
        peak_frame(none, COLUMNS[:1], "mer_factory")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_mer_factory_equals_its_definition_on_openfaces_numbers(seed, n):
    """Two decimals, zeros in failed rows; written out anew with pandas, as the original does it."""
    import pandas as pd
    from scipy.signal import find_peaks

    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.choice([0, 0, 0.8, 1.23, 2.4], (n, 17)).round(2), columns=[f"{au}_r" for au in R])
    for au in C:
        table[f"{au}_c"] = rng.integers(0, 2, n).astype(float)
    failed = rng.random(n) < 0.2
    failed[0] = False
    table[failed] = 0.0
    values = table.to_numpy(np.float32)
    values[failed] = np.nan
    starts = np.arange(n) / 25
    found = Features(values, np.stack([starts, starts + 0.04], axis=1), ~failed)
    total = table.filter(regex="_r$").sum(axis=1).round(6)
    columns = tuple(table.columns)
    peak = peak_frame(found, columns, "mer_factory")
    assert peak.row == total.idxmax()
    row = table.loc[peak.row]
    assert peak.aus == tuple(c[:4] for c in table.filter(regex="_r$") if row[c] > 0.8)
    assert chronological_peaks(found, columns) == tuple(find_peaks(total, height=0.8, distance=20)[0])
    expected = {}
    for word, aus in EMOTIONS["mer_factory"].items():
        mean = row[[f"{au}_r" for au in aus if au in R]].mean()
        if sum(row[f"{au}_c"] for au in aus) >= len(aus) / 2 and mean >= 0.8:
            expected[word] = mean
    assert {e.word: e.score for e in emotions_at(found, columns, peak.row, "mer_factory")} == pytest.approx(expected)

"""Batches, shared passes and shared models of the speech networks."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extractors.core.media.clip_media import Media
from extractors.core.networks.loaded import LOADED, LoadedNetworks, NetworkKey
from extractors.hubert import Hubert
from storage.records import Failure, Features
from tests.extractors.speech_models import RATE, audio, batch_of, build, media_of, only


def counted(extractor: Hubert) -> list[int]:
    """Sizes of the batches that the extractor runs from now on."""
    sizes: list[int] = []
    forward: Callable[..., Any] = extractor.forward

    def counting(units: list[Any]) -> Any:
        sizes.append(len(units))
        return forward(units)

    extractor.forward = counting  # type: ignore[method-assign]
    return sizes


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_clip_alone_and_in_a_mixed_batch_are_the_same(member: Path, tmp_path: Path, precision: str) -> None:
    extractor = build(member, precision=precision, layers="all")
    alone = [only(extractor, [media])[0].values for media in batch_of(tmp_path)]
    batches = counted(extractor)
    extractor.budget = 10**9
    together = [f.values for f in only(extractor, batch_of(tmp_path))]
    group_norm = extractor.spec.recipe["feat_extract_norm"] == "group"
    assert sorted(batches) == ([1, 1, 1, 2] if group_norm else [5])
    for one, other in zip(alone, together, strict=True):
        assert len(one) == len(other)
        if precision == "float32":
            np.testing.assert_allclose(other, one, atol=1e-4)
        assert np.linalg.norm(other - one) <= 1e-2 * np.linalg.norm(one)


def test_padding_breaks_group_norm_models(member: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build(member)
    alone = [only(extractor, [media])[0].values for media in batch_of(tmp_path)]
    monkeypatch.setattr(extractor, "group", lambda _unit: None)
    extractor.budget = 10**9
    together = [f.values for f in only(extractor, batch_of(tmp_path))]
    worst = max(np.abs(one - other).max() for one, other in zip(alone, together, strict=True))
    assert worst > 1.0 if extractor.spec.recipe["feat_extract_norm"] == "group" else worst < 1e-4


def test_windows_and_blocks_of_several_clips_share_batches_and_come_back_in_order(tmp_path: Path) -> None:
    waves = [audio(31.0, seed=1), audio(3.0, seed=2)]
    for recipe, batch in (("merflow", 2 + 1), ("merbench", 4 + 1)):
        extractor = build(recipe=recipe)
        clips = []
        for i, wave in enumerate(waves):
            (tmp_path / f"{recipe}{i}").mkdir()
            clips.append(media_of(tmp_path / f"{recipe}{i}", wave))
        alone = [only(extractor, [media])[0].values for media in clips]
        for media in clips:
            media.once("networks", dict).clear()
        sizes = counted(extractor)
        extractor.budget = 10**9
        for one, other in zip(alone, only(extractor, clips), strict=True):
            np.testing.assert_allclose(other.values, one, atol=1e-4)
        assert sizes == [batch]


def test_a_batch_that_does_not_fit_is_halved_and_what_never_fits_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = build()
    expected = [only(extractor, [media])[0].values for media in batch_of(tmp_path)]
    extractor.budget = 10**9
    forward = extractor.forward

    def small_memory(units: list[Any]) -> Any:
        if len(units) > 2 or max(u.size for u in units) > 3 * RATE:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(units)

    monkeypatch.setattr(extractor, "forward", small_memory)
    outcomes = extractor.extract(batch_of(tmp_path))
    for one, other in zip(expected[:4], outcomes[:4], strict=True):
        assert isinstance(other, Features)
        np.testing.assert_allclose(other.values, one, atol=1e-4)
    assert isinstance(outcomes[4], Failure)
    assert outcomes[4].reason == "out_of_memory"


def test_frame_and_utterance_level_share_one_model_and_one_pass(tmp_path: Path) -> None:
    frame, utterance, other = build(), build(level="utterance"), build(layers=2)
    assert frame._model is utterance._model is other._model
    assert build(precision="bf16")._model is not frame._model
    media = media_of(tmp_path, audio(1.0))
    sizes = [counted(e) for e in (frame, utterance, other)]
    rows, one, layer = (only(e, [media])[0] for e in (frame, utterance, other))
    assert sizes == [[1], [], [1]]
    np.testing.assert_allclose(one.values[0], rows.values.mean(axis=0), atol=1e-6)
    assert (layer.values != rows.values).any()


def test_a_model_leaves_memory_with_its_last_extractor() -> None:
    """Also one that sits in a reference cycle, and without the garbage collector."""
    weights = {"random": {"seed": 77, "size": "tiny"}}
    gc.collect()
    gc.disable()
    try:
        before = len(LOADED)
        closed, dropped = build(weights), build(weights, level="utterance")
        model = closed._model
        model.itself = [model]
        assert len(LOADED) == before + 1
        closed.close()
        closed.close()
        assert all(parameter.numel() for parameter in model.parameters())
        del dropped
        assert not any(parameter.numel() for parameter in model.parameters())
        assert len(LOADED) == before
    finally:
        gc.enable()


def test_a_model_can_be_released_in_another_thread_while_one_is_built() -> None:
    """As when the garbage collector runs in a thread that loads weights, and the builder waits for that thread."""
    networks, one, two = LoadedNetworks(), *(NetworkKey("x", (("seed", i),), "float32", False, "cpu") for i in (1, 2))
    networks.acquire(one, lambda: torch.nn.Linear(2, 2))

    def build() -> torch.nn.Module:
        releasing = threading.Thread(target=networks.release, args=[one])
        releasing.start()
        releasing.join(10)
        assert not releasing.is_alive()
        return torch.nn.Linear(2, 2)

    networks.acquire(two, build)
    assert len(networks) == 1


def test_seconds_of_preparing_moving_and_computing_are_counted_apart(tmp_path: Path) -> None:
    extractor = build()
    only(extractor, [media_of(tmp_path, audio(2.0))])
    assert extractor.seconds.keys() == {"prepare", "transfer", "model"}
    assert all(seconds > 0 for seconds in extractor.seconds.values())
    assert extractor.clips_at_once == 1


def test_what_was_prepared_beside_the_model_is_not_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, utterance = build(), build(level="utterance")
    made: list[Media] = []
    for extractor in (frame, utterance):
        units = extractor.units
        monkeypatch.setattr(extractor, "units", lambda media, units=units: (made.append(media), units(media))[1])
    media = batch_of(tmp_path)[0]
    expected = only(frame, [batch_of(tmp_path)[0]])[0].values
    made.clear()
    for extractor in (frame, utterance):
        extractor.prepare(media)
    np.testing.assert_array_equal(only(frame, [media])[0].values, expected)
    only(utterance, [media])
    assert made == [media]


def test_what_cannot_be_prepared_fails_when_it_is_extracted(tmp_path: Path) -> None:
    extractor, media = build(), media_of(tmp_path, audio(0.01))
    extractor.prepare(media)
    (outcome,) = extractor.extract([media])
    assert isinstance(outcome, Failure)
    assert outcome.reason == "too_short"

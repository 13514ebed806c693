from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from configs.errors import ConfigError, RunError
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.speech import FAMILY, FULL, TINY
from extractors.core.networks.speech_passes import Steps
from storage.clip import Clip
from storage.records import Failure
from tests.extractors.speech_models import (
    RANDOM,
    RATE,
    as_the_script_does,
    audio,
    build,
    media_of,
    only,
    run,
    save,
    scaled,
    tapped,
)
from tests.media import write_clip


@pytest.mark.parametrize("seconds", [0.5, 3.0, 9.9, 10.0, 10.1, 12.0, 25.0])
@pytest.mark.parametrize("recipe", ["mer2023", "merbench"])
def test_a_recipe_gives_what_its_script_gives(hubert_folder: Path, tmp_path: Path, recipe: str, seconds: float) -> None:
    media = media_of(tmp_path, audio(seconds))
    found = run(media, hubert_folder, recipe=recipe)
    np.testing.assert_allclose(
        found.values, as_the_script_does(hubert_folder, media.audio().samples, recipe), atol=1e-4
    )
    assert found.valid.all()


@pytest.mark.parametrize(("seconds", "rows"), [(9.9, 494), (10.0, 499), (10.1, 998), (25.0, 1497)])
def test_merbench_counts_499_rows_a_block(tmp_path: Path, seconds: float, rows: int) -> None:
    found = run(media_of(tmp_path, audio(seconds)), recipe="merbench")
    assert len(found.values) == rows
    assert (np.diff(found.times[:, 0]) > 0).all()
    if rows > 499:
        np.testing.assert_allclose(found.times[499], [10.0, 10.025])
        assert found.times[-1, 1] > seconds


@pytest.mark.parametrize("recipe", ["mer2023", "merbench"])
def test_every_member_of_the_family_gives_what_its_class_gives(member: Path, tmp_path: Path, recipe: str) -> None:
    media = media_of(tmp_path, audio(10.6))
    found = run(media, member, recipe=recipe)
    np.testing.assert_allclose(found.values, as_the_script_does(member, media.audio().samples, recipe), atol=1e-4)


def test_layers_are_counted_from_the_input_of_the_first_to_the_normed_last(member: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, audio(1.0))
    states = [s[0].numpy() for s in tapped(member, scaled(member, media.audio().samples))]
    everything = run(media, member, layers="all").values
    np.testing.assert_allclose(everything, np.concatenate(states, axis=1), atol=1e-4)
    for layers, expected in ((0, states[0]), (-2, states[3]), ([4, 1], np.concatenate([states[4], states[1]], axis=1))):
        np.testing.assert_allclose(run(media, member, layers=layers).values, expected, atol=1e-4)
    for combine, expected in (("sum", sum(states[1:3])), ("mean", sum(states[1:3]) / 2)):
        found = run(media, member, layers=[1, 2], combine=combine).values
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_columns_and_source_say_the_model_and_the_layer(member: Path) -> None:
    kind = transformers.AutoConfig.from_pretrained(member).model_type
    assert build(member).spec.source == f"{FAMILY[kind][1]} (transformers)"
    assert build(member).spec.columns[:2] == (f"{kind}_0", f"{kind}_1")
    assert build(member, layers=[2, -1]).spec.columns[31:33] == (f"{kind}_l2_31", f"{kind}_l4_0")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"recipe": "merbench", "layers": -1}, "recipe merbench fixes the layers; leave out layers"),
        ({"recipe": "mer2023", "combine": "sum"}, "recipe mer2023 fixes the layers; leave out combine"),
        ({"layers": []}, "expected at least one"),
        ({"layers": 5}, "no layer 5; the model has 0 to 4"),
        ({"layers": [-6, 0]}, "no layer -6; the model has 0 to 4"),
        ({"layers": [4, -1]}, "a layer is named twice"),
    ],
)
def test_layers_that_cannot_be_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises((RunError, ConfigError), match=named):
        _ = build_extractor("hubert", "hubert", {"weights": RANDOM, **options}).spec


def test_a_bin_file_with_weight_norm_of_old_gives_the_same(hubert_folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = HubertModel.from_pretrained(hubert_folder).state_dict()
    for new, name in names.items():
        state = {key.replace(new, name): value for key, value in state.items()}
    assert any(key.endswith("weight_g") for key in state)
    torch.save(state, old / "pytorch_model.bin")
    for name in ("config.json", "preprocessor_config.json"):
        (old / name).symlink_to(hubert_folder / name)
    media = media_of(tmp_path, audio(1.0))
    np.testing.assert_array_equal(run(media, old).values, run(media, hubert_folder).values)


def test_rows_lie_where_their_samples_are(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", seconds=1.0, audio_start=0.5)
    media = Media(Clip("a", video="a.mp4", audio="a.mp4"), tmp_path)
    media.decode()
    found = run(media)
    start = media.audio().start
    assert start > 0.4
    np.testing.assert_allclose(found.times[7] - start, [0.14, 0.165])
    assert found.times[-1, 1] <= media.audio().end + 1e-9


def test_the_utterance_is_the_mean_of_the_rows(tmp_path: Path) -> None:
    media = media_of(tmp_path, audio(10.5))
    for recipe in ("merflow", "merbench"):
        rows, one = (run(media, recipe=recipe, level=level) for level in ("frame", "utterance"))
        np.testing.assert_allclose(one.values, rows.values.mean(axis=0, keepdims=True, dtype=np.float64), atol=1e-6)
        np.testing.assert_allclose(one.times, [[0.0, 10.5]])


def test_short_clips_are_the_same_in_merflow_and_mer2023(tmp_path: Path) -> None:
    media = media_of(tmp_path, audio(3.0))
    np.testing.assert_array_equal(run(media).values, run(media, recipe="mer2023").values)


def test_long_audio_goes_in_windows_and_loses_no_row(tmp_path: Path) -> None:
    media = media_of(tmp_path, audio(31.0))
    windows, whole = run(media), run(media, recipe="mer2023")
    np.testing.assert_array_equal(windows.times, whole.times)
    assert (windows.values != whole.values).any()
    # Far from any border a row hears nearly the same.
    assert np.corrcoef(windows.values.ravel(), whole.values.ravel())[0, 1] > 0.99


def test_steps_come_from_the_strides_of_the_checkpoint(tmp_path: Path) -> None:
    assert Steps.of({}) == Steps.of(TINY) == Steps(hop=320, window=400)
    slow = save(tmp_path / "slow", conv_stride=[5, 2, 2, 2, 2, 2, 4])
    found = build(slow)
    assert (found.spec.hop, found.spec.window) == (0.04, 0.025)
    assert len(only(found, [media_of(tmp_path, audio(1.0))])[0].values) == 25


@pytest.mark.parametrize("recipe", ["merflow", "mer2023", "merbench"])
def test_digital_silence_and_very_short_audio_are_finite(member: Path, tmp_path: Path, recipe: str) -> None:
    extractor = build(member, recipe=recipe)
    for samples, rows in ((400, 1), (1600, 4), (RATE, 49)):
        (found,) = only(extractor, [media_of(tmp_path, np.zeros(samples, np.float32))])
        assert len(found.values) == rows
        assert found.valid.all()
        assert found.times[-1, 1] <= samples / RATE + 1e-9


FIVE_MINUTES = [
    ("merflow", 14_999),
    pytest.param("merbench", 30 * 499, marks=pytest.mark.slow),
    pytest.param("mer2023", 14_999, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("recipe", "rows"), FIVE_MINUTES)
def test_five_minutes_are_extracted_whole(hubert_folder: Path, tmp_path: Path, recipe: str, rows: int) -> None:
    found = run(media_of(tmp_path, audio(300.0)), hubert_folder, recipe=recipe)
    assert len(found.values) == rows
    assert found.valid.all()
    assert found.times[-1, 1] <= 300.0


def test_a_recipe_of_one_pass_refuses_long_audio_before_any_computing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("extractors.core.networks.speech.LONGEST_PASS", RATE)
    extractor = build_extractor("hubert", "hubert", {"recipe": "mer2023", "weights": RANDOM})
    extractor.load("cpu")
    monkeypatch.setattr(extractor, "forward", None)
    (outcome,) = extractor.extract([media_of(tmp_path, audio(1.5))])
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.message) == (
        "too_long",
        "1.5 s of audio; recipe mer2023 is one pass, of at most 1 s",
    )


def test_under_400_samples_is_too_short(tmp_path: Path) -> None:
    extractor = build()
    for samples in (1, 399):
        (outcome,) = extractor.extract([media_of(tmp_path, audio(samples / RATE))])
        assert isinstance(outcome, Failure)
        assert outcome.reason == "too_short"
    assert len(run(media_of(tmp_path, audio(400 / RATE))).values) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_digest(tmp_path: Path) -> None:
    media = media_of(tmp_path, audio(1.0))
    one, two = run(media), run(media)
    other = run(media, {"random": {"seed": 1, "size": "tiny"}})
    assert one.values.tobytes() == two.values.tobytes() != other.values.tobytes()
    choices: list[dict[str, Any]] = [
        {},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"weights": {"random": {"seed": 0, "size": "full"}}},
        {"recipe": "mer2023"},
        {"recipe": "merbench"},
        {"level": "utterance"},
        {"layers": 2},
        {"layers": [1, 2]},
        {"layers": [2, 1]},
        {"layers": [1, 2], "combine": "sum"},
        {"layers": [1, 2], "combine": "mean"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"compile": True},
    ]
    choices = [{"weights": RANDOM} | choice for choice in choices]
    specs = [build_extractor("hubert", "hubert", o).spec for o in choices]
    assert len({s.digest for s in specs}) == len(choices)
    assert all(s.synthetic for s in specs)
    assert len(specs[2].columns) == 1024


def test_the_spec_needs_no_torch(hubert_folder: Path) -> None:
    code = f"""
import sys
from extractors.core.extractor import build_extractor
spec = build_extractor("hubert", "h", {{"weights": {{"local": {str(hubert_folder)!r}}}}}).spec
assert spec.columns[-1] == "hubert_31" and not spec.synthetic, spec
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_full_is_the_large_model() -> None:
    with torch.device("meta"):
        model = HubertModel(HubertConfig(**FULL))
    assert sum(p.numel() for p in model.parameters()) == 315_438_720


def test_missing_weights_are_one_readable_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RunError, match=r"chinese-hubert-large.*merflow weights pull"):
        _ = build_extractor("hubert", "hubert", {}).spec


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    small = save(tmp_path / "small", num_hidden_layers=2)
    with pytest.raises(RunError, match="no layer -4; the model has 0 to 2"):
        _ = build_extractor("hubert", "h", {"weights": {"local": small}, "recipe": "merbench"}).spec
    fast = save(tmp_path / "fast")
    Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=8_000).save_pretrained(fast)
    with pytest.raises(RunError, match="the model hears 8000 Hz, expected 16000 Hz"):
        build(fast)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from configs.schema import Faces
from extractors.core.base import build_extractor
from extractors.core.media import Media
from extractors.core.weights import seeded
from extractors.hubert import ARCHITECTURES, step_times, window_plan
from storage.errors import RunError
from storage.records import Clip, Failure, Features
from tests.media import tone, write_clip

RATE = 16_000
TINY = {"random": {"seed": 0, "size": "tiny"}}


def save(folder: Path, **settings: Any) -> Path:
    model = seeded(1, lambda: HubertModel(HubertConfig(**ARCHITECTURES["tiny"] | settings)))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("hubert"))


def media_of(tmp_path: Path, samples: np.ndarray) -> Media:
    write_clip(tmp_path / "a.wav", video=False, audio=samples.reshape(1, -1), rate=RATE)
    media = Media(Clip("a", audio="a.wav"), tmp_path)
    media.decode()
    return media


def sound(seconds: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32)
    return tone(seconds, RATE)[0] + 0.05 * noise


def run(media: Media, weights: dict[str, Any] = TINY, **options: Any) -> Features:
    extractor = build_extractor("hubert", "hubert", {"weights": weights, **options}, Faces())
    extractor.load("cpu")
    (outcome,) = extractor.extract([media])
    assert isinstance(outcome, Features), outcome
    assert outcome.values.shape[1] == len(extractor.spec.columns)
    return outcome


def as_the_script_does(folder: Path, wave: np.ndarray, recipe: str) -> np.ndarray:
    """The scripts' arithmetic; layers are tapped one by one, as hidden_states differs in transformers 4 and 5."""
    model = HubertModel.from_pretrained(folder).eval()
    scaled = Wav2Vec2FeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE, return_tensors="pt")
    rows = scaled.input_values
    if recipe == "merbench" and rows.shape[1] > 160_000:
        rows = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 160_000)).view(-1, 160_000)
    tapped: list[torch.Tensor] = []
    for layer in model.encoder.layers:
        layer.register_forward_hook(lambda _m, _i, out: tapped.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        last = model(rows).last_hidden_state
        if model.config.do_stable_layer_norm:
            torch.testing.assert_close(model.encoder.layer_norm(tapped[-1]), last)
        if recipe == "merbench":
            last = torch.stack([*tapped[-4:-1], last]).sum(dim=0)
    return last.reshape(-1, last.shape[-1]).numpy()


@pytest.mark.parametrize("seconds", [0.5, 9.9, 10.0, 10.1, 25.0])
@pytest.mark.parametrize("recipe", ["mer2023", "merbench"])
def test_a_recipe_gives_what_its_script_gives(folder: Path, tmp_path: Path, recipe: str, seconds: float) -> None:
    media = media_of(tmp_path, sound(seconds))
    found = run(media, {"local": str(folder)}, recipe=recipe)
    np.testing.assert_allclose(found.values, as_the_script_does(folder, media.audio().samples, recipe), atol=1e-4)
    assert found.valid.all()


@pytest.mark.parametrize(("seconds", "rows"), [(9.9, 494), (10.0, 499), (10.1, 998), (25.0, 1497)])
def test_merbench_counts_499_rows_a_block(tmp_path: Path, seconds: float, rows: int) -> None:
    found = run(media_of(tmp_path, sound(seconds)), recipe="merbench")
    assert len(found.values) == rows
    assert (np.diff(found.times[:, 0]) > 0).all()
    if rows > 499:
        np.testing.assert_allclose(found.times[499], [10.0, 10.025])
        assert found.times[-1, 1] > seconds


def test_a_group_norm_model_with_late_norms_runs_too(tmp_path: Path) -> None:
    flavour = {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False}
    folder = save(tmp_path / "model", **flavour)
    media = media_of(tmp_path, sound(12.0))
    for recipe in ("mer2023", "merbench"):
        found = run(media, {"local": str(folder)}, recipe=recipe)
        np.testing.assert_allclose(found.values, as_the_script_does(folder, media.audio().samples, recipe), atol=1e-4)


def test_a_bin_file_with_weight_norm_of_old_gives_the_same(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = HubertModel.from_pretrained(folder).state_dict()
    for new, name in names.items():
        state = {key.replace(new, name): value for key, value in state.items()}
    assert any(key.endswith("weight_g") for key in state)
    torch.save(state, old / "pytorch_model.bin")
    for name in ("config.json", "preprocessor_config.json"):
        (old / name).symlink_to(folder / name)
    media = media_of(tmp_path, sound(1.0))
    np.testing.assert_array_equal(run(media, {"local": str(old)}).values, run(media, {"local": str(folder)}).values)


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
    media = media_of(tmp_path, sound(10.5))
    for recipe in ("merflow", "merbench"):
        rows, one = (run(media, recipe=recipe, level=level) for level in ("frame", "utterance"))
        np.testing.assert_allclose(one.values, rows.values.mean(axis=0, keepdims=True, dtype=np.float64), atol=1e-6)
        np.testing.assert_allclose(one.times, [[0.0, 10.5]])


def test_short_clips_are_the_same_in_merflow_and_mer2023(tmp_path: Path) -> None:
    media = media_of(tmp_path, sound(3.0))
    np.testing.assert_array_equal(run(media).values, run(media, recipe="mer2023").values)


def test_long_sound_goes_in_windows_and_loses_no_row(tmp_path: Path) -> None:
    media = media_of(tmp_path, sound(31.0))
    windows, whole = run(media), run(media, recipe="mer2023")
    np.testing.assert_array_equal(windows.times, whole.times)
    assert (windows.values != whole.values).any()
    # Far from any border a row hears nearly the same.
    assert np.corrcoef(windows.values.ravel(), whole.values.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("steps", "plan"),
    [
        (1, [(0, 0, 1)]),
        (1499, [(0, 0, 1499)]),
        (1500, [(0, 0, 750), (1, 750, 1500)]),
        (2899, [(0, 0, 1449), (1400, 1449, 2899)]),
        (2900, [(0, 0, 1449), (1400, 1449, 2150), (1401, 2150, 2900)]),
    ],
)
def test_windows_overlap_and_are_cut_in_the_middle(steps: int, plan: list[tuple[int, int, int]]) -> None:
    assert window_plan(steps) == plan
    assert all(start <= kept < end <= start + 1499 for start, kept, end in plan)


def test_step_times_of_blocks() -> None:
    times = step_times(1000, in_blocks=True)
    np.testing.assert_allclose(times[[0, 498, 499, 998], 0], [0.0, 9.96, 10.0, 20.0])
    np.testing.assert_allclose(step_times(1000, in_blocks=False)[-1], [19.98, 20.005])


def test_silence_is_finite(tmp_path: Path) -> None:
    assert run(media_of(tmp_path, np.zeros(RATE, np.float32))).valid.all()


def test_under_400_samples_is_too_short(tmp_path: Path) -> None:
    extractor = build_extractor("hubert", "hubert", {"weights": TINY}, Faces())
    extractor.load("cpu")
    (outcome,) = extractor.extract([media_of(tmp_path, sound(399 / RATE))])
    assert isinstance(outcome, Failure)
    assert outcome.reason == "too_short"
    assert len(run(media_of(tmp_path, sound(400 / RATE))).values) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_digest(tmp_path: Path) -> None:
    media = media_of(tmp_path, sound(1.0))
    one, two = run(media), run(media)
    other = run(media, {"random": {"seed": 1, "size": "tiny"}})
    assert one.values.tobytes() == two.values.tobytes() != other.values.tobytes()
    choices: list[dict[str, Any]] = [
        {"weights": TINY},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"weights": {"random": {"seed": 0, "size": "full"}}},
        {"weights": TINY, "recipe": "mer2023"},
        {"weights": TINY, "recipe": "merbench"},
        {"weights": TINY, "level": "utterance"},
    ]
    specs = [build_extractor("hubert", "hubert", o, Faces()).spec for o in choices]
    assert len({s.digest for s in specs}) == len(choices)
    assert all(s.synthetic for s in specs)
    assert len(specs[2].columns) == 1024


def test_the_spec_needs_no_torch(folder: Path) -> None:
    code = f"""
import sys
from configs.schema import Faces
from extractors.core.base import build_extractor
spec = build_extractor("hubert", "h", {{"weights": {{"local": {str(folder)!r}}}}}, Faces()).spec
assert spec.columns[-1] == "hubert_63" and not spec.synthetic, spec
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_full_is_the_large_model() -> None:
    with torch.device("meta"):
        model = HubertModel(HubertConfig(**ARCHITECTURES["full"]))
    assert sum(p.numel() for p in model.parameters()) == 315_438_720


def test_missing_weights_are_one_readable_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RunError, match=r"chinese-hubert-large.*merflow weights pull"):
        _ = build_extractor("hubert", "hubert", {}, Faces()).spec


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    small = save(tmp_path / "small", num_hidden_layers=2)
    with pytest.raises(RunError, match="merbench sums 4 layers, the model has 2"):
        _ = build_extractor("hubert", "h", {"weights": {"local": small}, "recipe": "merbench"}, Faces()).spec
    slow = save(tmp_path / "slow", conv_stride=[5, 2, 2, 2, 2, 2, 4])
    with pytest.raises(RunError, match="conv_stride"):
        _ = build_extractor("hubert", "h", {"weights": {"local": slow}}, Faces()).spec

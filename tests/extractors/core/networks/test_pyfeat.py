"""Where the weights of py-feat's network are found, and what they are known by."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from configs.errors import RunError
from configs.weights import Weights
from extractors.action_units.network import FaceNetwork
from extractors.core.networks.pyfeat import HUB_FILE, _write_random, find_weights
from tests.extractors.faces_first import build_alone

TINY = {"random": {"seed": 0, "size": "tiny"}}


def _extractor(weights):
    return build_alone("action_units", "au", {"weights": weights})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return _write_random(tmp_path_factory.mktemp("weights") / HUB_FILE, find_weights(Weights(**TINY)))


def test_a_seed_gives_the_same_network_and_leaves_the_process_alone(checkpoint, tmp_path, monkeypatch):
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    state = torch.random.get_rng_state()
    again = _write_random(tmp_path / "same", find_weights(Weights(**TINY)))
    other = _write_random(tmp_path / "other", find_weights(Weights(random={"seed": 1, "size": "tiny"})))
    assert again.read_bytes() == checkpoint.read_bytes() != other.read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_local_checkpoint_is_known_by_its_bytes_and_gives_its_numbers(checkpoint):
    extractors = [_extractor({"local": str(path)}) for path in (checkpoint, checkpoint.parent)]
    assert extractors[0].spec == extractors[1].spec
    assert set(extractors[0].spec.weights) == {"kind", "file", "sha256"}
    assert str(checkpoint.parent) not in str(extractors[0].spec.to_dict())
    face = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
    found = [FaceNetwork(find_weights(w), "cpu")([face])[0] for w in (Weights(local=checkpoint), Weights(**TINY))]
    np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())


def test_a_hub_checkpoint_is_found_in_the_hugging_face_cache(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub = build_alone("action_units", "au", {})
    with pytest.raises(RunError, match="merflow weights pull --config C"):
        _ = hub.spec
    commit, repo = "c" * 40, tmp_path / "models--py-feat--face_multitask_v2"
    for folder in (repo / "refs", repo / "snapshots" / commit):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copy(checkpoint, repo / "snapshots" / commit / HUB_FILE)
    assert hub.spec.weights["commit"] == commit
    assert not hub.spec.synthetic


def test_another_network_is_refused_before_it_is_loaded(tmp_path):
    from safetensors.numpy import save_file

    file = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(1)}, str(file), metadata={"config": '{"n_au": 24}'})
    with pytest.raises(RunError, match="n_au is 24, not 20"):
        _ = _extractor({"local": str(file)}).spec
    save_file({"a": np.zeros(1)}, str(file))
    with pytest.raises(RunError, match="not a checkpoint of py-feat"):
        _ = _extractor({"local": str(tmp_path)}).spec
    file.unlink()
    with pytest.raises(RunError, match=r"expected one \.safetensors file"):
        _ = _extractor({"local": str(tmp_path)}).spec

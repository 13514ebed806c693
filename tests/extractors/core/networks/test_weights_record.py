"""What was pulled is recorded, what differs stops the run, and no file can run code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import socket
from pathlib import Path

import huggingface_hub
import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEModel

from configs.errors import RunError
from configs.weights import RandomWeights, Weights
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights import load_model, resolve
from extractors.core.networks.weights_pull import pull
from extractors.core.networks.weights_record import record_path

REPO = "someone/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CONTENTS = {name: f'{{"name": "{name}"}}' for name in ("config.json", "preprocessor_config.json", "model.safetensors")}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache that holds one commit of a repository; gives the commit's folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "home"))
    repo = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    folder = repo / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    for name, text in CONTENTS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def pulled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and it was pulled."""
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub, "snapshot_download", lambda *_args, **_options: str(cache))
        pull(Weights(hub=REPO))
    return cache


def test_pull_records_revision_commit_and_the_hash_of_every_file(pulled: Path) -> None:
    written = json.loads(record_path(REPO, COMMIT).read_text())
    assert written == {
        "repo": REPO,
        "revision": "main",
        "commit": COMMIT,
        "files": {name: sha256(text) for name, text in CONTENTS.items()},
    }
    assert resolve(Weights(hub=REPO)).identity["sha256"] == sha256(CONTENTS["model.safetensors"])


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_differs_from_the_record_stops_the_run(pulled: Path, name: str) -> None:
    (pulled / name).write_text("{}")
    with pytest.raises(RunError) as caught:
        resolve(Weights(hub=REPO))
    message = str(caught.value)
    assert f"{REPO}@{COMMIT}: {name}: expected sha256 {sha256(CONTENTS[name])}, got {sha256('{}')}" in message
    assert "\n" not in message


def test_pulling_over_a_changed_file_does_not_overwrite_the_record(
    pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pulled / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_args, **_options: str(pulled))
    with pytest.raises(RunError, match=r"config\.json: expected sha256"):
        pull(Weights(hub=REPO))


def test_a_filled_cache_without_a_record_and_without_a_network_works(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_args: object) -> None:
        raise AssertionError("the network was used")

    seeded(3, lambda: VideoMAEModel(VideoMAEConfig(**SMALL))).save_pretrained(cache)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    found = resolve(Weights(hub=REPO))
    assert found.identity["commit"] == COMMIT
    assert isinstance(load_model(found, VideoMAEModel, {}), VideoMAEModel)


def test_a_damaged_record_is_one_line(pulled: Path) -> None:
    record_path(REPO, COMMIT).write_text("not JSON")
    with pytest.raises(RunError, match="not a record of weights"):
        resolve(Weights(hub=REPO))


@pytest.mark.parametrize("source", ["hub", "local"])
def test_the_configuration_can_say_what_the_weights_must_hash_to(cache: Path, source: str) -> None:
    place = {"hub": {"hub": REPO}, "local": {"local": cache}}[source]
    right, wrong = sha256(CONTENTS["model.safetensors"]), "0" * 64
    assert resolve(Weights(**place, sha256=right)) == resolve(Weights(**place))
    with pytest.raises(RunError, match=rf"model\.safetensors: expected sha256 {wrong}, got {right}"):
        resolve(Weights(**place, sha256=wrong))


def test_pull_refuses_weights_that_are_not_what_the_configuration_says(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_args, **_options: str(cache))
    with pytest.raises(RunError, match=r"model\.safetensors: expected sha256 0000"):
        pull(Weights(hub=REPO, sha256="0" * 64))
    assert not record_path(REPO, COMMIT).exists()


def test_random_weights_have_no_hash() -> None:
    with pytest.raises(RunError, match="known by their seed"):
        resolve(Weights(random=RandomWeights(), sha256="0" * 64))


def test_a_plain_checkpoint_is_known_by_its_bytes_and_format(tmp_path: Path) -> None:
    file = tmp_path / "mae_checkpoint-340.pth"
    file.write_bytes(b"weights")
    found = resolve(Weights(local=file, format="mae-pth"))
    assert found.folder == tmp_path
    digest = hashlib.sha256(b"weights").hexdigest()
    assert found.identity == {"kind": "local", "format": "mae-pth", "file": file.name, "sha256": digest}
    with pytest.raises(RunError, match="is not a file"):
        resolve(Weights(local=tmp_path, format="mae-pth"))


class Malicious:
    """What, once unpickled, makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("layout", ["zip", "plain pickle"])
def test_weights_that_would_run_code_are_refused_unread(cache: Path, tmp_path: Path, layout: str) -> None:
    (cache / "model.safetensors").unlink()
    trace = tmp_path / "executed"
    VideoMAEConfig(**SMALL).save_pretrained(cache)
    content = {"weight": Malicious(trace)}
    if layout == "zip":
        torch.save(content, cache / "pytorch_model.bin")
    else:
        (cache / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(RunError, match="cannot load the weights"):
        load_model(resolve(Weights(hub=REPO)), VideoMAEModel, {})
    assert not trace.exists()
    pickle.loads(pickle.dumps(content))  # and it would have
    assert trace.exists()

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEModel

from configs.errors import RunError
from configs.weights import RandomWeights, Weights
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights import load_model, model_settings, resolve
from extractors.core.networks.weights_files import sha256_of
from extractors.core.networks.weights_pull import pull
from storage.digests import canonical_json

REPO = "someone/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f'{{"name": "{name}"}}')
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no record of anything."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "home"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    seeded(3, lambda: VideoMAEModel(VideoMAEConfig(**SMALL))).save_pretrained(folder)
    return fill(folder, "preprocessor_config.json")


def test_a_local_folder_is_known_by_its_bytes_and_never_by_its_place(saved: Path, tmp_path: Path) -> None:
    found = resolve(Weights(local=saved))
    expected = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert (found.kind, found.folder, found.synthetic) == ("local", saved, False)
    assert found.identity["sha256"] == expected
    assert found.identity["file"] == "model.safetensors"
    assert str(saved) not in canonical_json(found.identity)


def test_other_settings_beside_the_same_weights_are_another_identity(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "config.json", "preprocessor_config.json", "model.safetensors")
    two = fill(tmp_path / "two", "config.json", "preprocessor_config.json", "model.safetensors")
    assert resolve(Weights(local=one)).identity == resolve(Weights(local=two)).identity
    (two / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert resolve(Weights(local=one)).identity != resolve(Weights(local=two)).identity


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ((), r"config\.json, preprocessor_config\.json, model\.safetensors or pytorch_model\.bin missing"),
        (("config.json", "pytorch_model.bin"), r": preprocessor_config\.json missing"),
        (("config.json", "preprocessor_config.json"), r": model\.safetensors or pytorch_model\.bin missing"),
    ],
)
def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path, there: tuple[str, ...], named: str) -> None:
    with pytest.raises(RunError, match=named):
        resolve(Weights(local=fill(tmp_path / "folder", *there)))


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a folder"):
        resolve(Weights(local=tmp_path / "absent"))


@pytest.mark.parametrize("repo", [REPO, "not a repository"])
def test_a_repository_that_is_not_cached_says_how_to_get_it(repo: str) -> None:
    with pytest.raises(RunError, match="merflow weights pull --config C") as caught:
        resolve(Weights(hub=repo))
    assert repo in str(caught.value)
    assert "local:" in str(caught.value)
    assert "\n" not in str(caught.value)


def cached(cache: Path, *names: str) -> Path:
    repo = cache / f"models--{REPO.replace('/', '--')}"
    fill(repo / "refs")
    (repo / "refs" / "main").write_text(COMMIT)
    return fill(repo / "snapshots" / COMMIT, *names)


def test_a_cached_repository_is_found_with_its_commit(cache: Path) -> None:
    folder = cached(cache, "config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin")
    for revision in ("main", COMMIT):
        found = resolve(Weights(hub=REPO, revision=revision))
        assert found.folder == folder
        assert found.identity == {
            "kind": "hub",
            "repo": REPO,
            "commit": COMMIT,
            "file": "model.safetensors",
            "sha256": sha256_of(folder / "model.safetensors"),
            "settings_sha256": found.identity["settings_sha256"],
        }
    before = found.identity["settings_sha256"]
    (folder / "preprocessor_config.json").unlink()  # a link into the cache's blobs
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert resolve(Weights(hub=REPO)).identity["settings_sha256"] != before  # an edited setting can change numbers


def test_a_cached_repository_without_its_weights_is_an_error(cache: Path) -> None:
    cached(cache, "config.json", "preprocessor_config.json")
    with pytest.raises(RunError, match=r"model\.safetensors or pytorch_model\.bin missing.*merflow weights pull"):
        resolve(Weights(hub=REPO))


def test_pull_takes_the_bin_file_only_where_there_is_no_safetensors(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(repo: str, *, revision: str, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        calls.append((revision, allow_patterns[-1]))
        assert {"*.json", "*.txt", "*.model"} < set(allow_patterns)
        assert ignore_patterns == ["*/*"]
        wanted = [n for n in ("pytorch_model.bin",) if n in allow_patterns]
        return str(cached(cache, "config.json", *wanted))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    pulled = pull(Weights(hub=REPO))
    assert calls == [("main", "model.safetensors"), (COMMIT, "pytorch_model.bin")]
    assert (pulled["repo"], pulled["commit"]) == (REPO, COMMIT)
    assert pulled["files"].keys() == {"config.json", "pytorch_model.bin"}
    assert pull(Weights(random=RandomWeights())) == {}


def test_pull_fetches_how_a_sentence_encoder_pools(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, *, revision: str, allow_patterns: list[str], ignore_patterns: list[str] | None) -> str:
        nested = ignore_patterns is None
        folder = cached(cache, *([] if nested else ["config.json", "modules.json", "model.safetensors"]))
        if nested:
            assert (revision, allow_patterns) == (COMMIT, ["1_Pooling/config.json"])
            (folder / "1_Pooling").mkdir()
            (folder / "1_Pooling" / "config.json").write_text("{}")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    pulled = pull(Weights(hub=REPO))
    assert pulled["files"].keys() == {"config.json", "modules.json", "model.safetensors", "1_Pooling/config.json"}


def test_pull_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_args: object, **_options: object) -> str:
        raise OSError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(RunError, match="some-model@main: no route to host"):
        pull(Weights(hub=REPO))


def test_the_hash_is_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert sha256_of(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"another")
    assert sha256_of(file) == hashlib.sha256(b"another").hexdigest()


def test_a_seed_gives_the_same_bytes_and_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (seeded(s, lambda: torch.randn(100)) for s in (7, 7, 8))
    assert one.numpy().tobytes() == two.numpy().tobytes() != other.numpy().tobytes()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_weights_are_marked() -> None:
    found = resolve(Weights(random=RandomWeights(seed=5, size="tiny")))
    assert found.synthetic
    assert found.folder is None
    assert found.identity == {"kind": "random", "seed": 5, "size": "tiny"}
    assert model_settings(found, ("videomae",), {"tiny": SMALL}, ()) == SMALL


def test_weights_that_lack_a_parameter_are_refused(saved: Path, tmp_path: Path) -> None:
    found = resolve(Weights(local=saved))
    assert load_model(found, VideoMAEModel, {}).dtype == torch.float32
    settings = json.loads((saved / "config.json").read_text()) | {"num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").symlink_to(saved / "model.safetensors")
    with pytest.raises(RunError, match=r"lack \d+ parameters, first encoder\.layer\.1"):
        load_model(resolve(Weights(local=tmp_path), ("config.json",)), VideoMAEModel, {})


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer_instead_of_weights_is_a_run_error(saved: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").symlink_to(saved / "config.json")
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 378\n")
    with pytest.raises(RunError, match="cannot load the weights"):
        load_model(resolve(Weights(local=tmp_path), ("config.json",)), VideoMAEModel, {})


def test_settings_of_another_model_are_refused(saved: Path) -> None:
    found = resolve(Weights(local=saved))
    with pytest.raises(RunError, match="expected model_type 'hubert', got 'videomae'"):
        model_settings(found, ("hubert",), {}, ())
    with pytest.raises(RunError, match="no setting conv_bias"):
        model_settings(found, ("videomae",), {}, ("hidden_size", "conv_bias"))

"""Weights in several files, and checkpoints that are named by their address."""

from __future__ import annotations

import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import transformers as hf

from configs.errors import ConfigError, RunError
from configs.schema import parse
from configs.weights import Weights
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights import resolve
from extractors.core.networks.weights_files import shards_of, url_path
from extractors.core.networks.weights_pull import pull
from extractors.core.networks.weights_url import fetch
from extractors.text import TextOptions
from extractors.text.sentence import BYTE_VOCABULARY, load_tokenizer
from storage.clip import Clip

LLAMA = {
    "vocab_size": BYTE_VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 64,
}


def saved(folder: Path, **how) -> Path:
    seeded(4, lambda: hf.LlamaModel(hf.LlamaConfig(**LLAMA))).save_pretrained(folder, **how)
    load_tokenizer(resolve(TextOptions(weights={"random": {"size": "tiny"}}).weights)).save_pretrained(folder)
    return folder


def vector(folder: Path) -> np.ndarray:
    extractor = build_extractor("text", "t", {"weights": {"local": str(folder)}, "recipe": "merbench"})
    extractor.load("cpu")
    (found,) = extractor.extract([Media(Clip("c", text="some words"), None, audio=False, video=False)])
    return found.values


def test_shards_give_what_one_file_gives(tmp_path):
    whole, parts = saved(tmp_path / "whole"), saved(tmp_path / "parts", max_shard_size="40KB")
    index = parts / "model.safetensors.index.json"
    assert len(shards_of(index)) > 2
    np.testing.assert_array_equal(vector(whole), vector(parts))
    before = resolve(Weights(local=parts), ("config.json",)).identity
    assert before["file"] == index.name
    shard = parts / shards_of(index)[1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert resolve(Weights(local=parts), ("config.json",)).identity["sha256"] != before["sha256"]
    shard.unlink()
    with pytest.raises(RunError, match=f"1 shards missing, first {shard.name}; pull them again"):
        resolve(Weights(local=parts), ("config.json",))


@pytest.mark.parametrize("content", ["no json", '{"weight_map": {"a": "../b"}}', '{"weight_map": {}}', "[]"])
def test_a_damaged_index_is_one_line(tmp_path, content):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(RunError, match=r"model\.safetensors\.index\.json: ") as error:
        shards_of(index)
    assert "\n" not in str(error.value)


class Breaking(http.server.SimpleHTTPRequestHandler):
    """A server that understands ranges, and breaks off as often as it is told to."""

    breaks = 0
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted or "all")
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if first >= len(content):
            self.send_error(416)
            return
        part = content[first:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if type(self).breaks:
            type(self).breaks -= 1
            self.wfile.write(part[: len(part) // 2])
            return
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "home"))
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "mae.pth").write_bytes(np.random.default_rng(0).bytes(3 << 20))
    Breaking.breaks, Breaking.asked = 0, []
    handler = partial(Breaking, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}", (tmp_path / "www" / "mae.pth").read_bytes()
        served.shutdown()
        thread.join()


def named(server, **changed) -> Weights:
    address, content = server
    values = {"url": f"{address}/mae.pth", "sha256": hashlib.sha256(content).hexdigest(), "format": "mae-pth"}
    return Weights(**values | changed)


def test_a_checkpoint_is_fetched_by_its_address_once(server):
    weights, seen = named(server), []
    pulled = pull(weights, progress=lambda here, total: seen.append((here, total)))
    assert url_path(weights).read_bytes() == server[1]
    assert pulled["files"] == {"mae.pth": weights.sha256}
    assert seen[-1] == (3 << 20, 3 << 20)
    pull(weights)
    assert Breaking.asked == ["all"]
    assert resolve(weights).identity["sha256"] == weights.sha256


def test_a_download_that_broke_off_is_resumed(server):
    Breaking.breaks = 2
    for _ in range(2):
        with pytest.raises(RunError, match="are kept, the same command goes on from there"):
            fetch(named(server))
    assert fetch(named(server)).read_bytes() == server[1]
    assert Breaking.asked == ["all", f"bytes={3 << 19}-", f"bytes={(3 << 19) + (3 << 18)}-"]


def test_what_has_another_hash_is_not_kept(server):
    with pytest.raises(RunError, match=f"expected sha256 {'0' * 64}, got ") as error:
        fetch(named(server, sha256="0" * 64))
    assert "\n" not in str(error.value)
    assert list(url_path(named(server, sha256="0" * 64)).parent.iterdir()) == []


def test_what_was_not_fetched_says_how(server):
    with pytest.raises(RunError, match="not on this machine; fetch with `merflow weights pull --config C`"):
        resolve(named(server))


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(server, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 1 << 20})())
    with pytest.raises(RunError, match=r"3 MiB are needed in .*, 0 are free"):
        fetch(named(server))


def test_an_address_needs_a_hash_and_a_format():
    with pytest.raises(ConfigError, match="url needs sha256, which says what must come, and a format other than hf"):
        parse(Weights, {"url": "https://x.org/a.pth", "format": "mae-pth"}, "weights")

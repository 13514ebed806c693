"""Released face crops that are replaced after a run: what was made from them is stale, and nothing else."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from storage import open_store
from storage.clip import Clip
from storage.released_crops import crops_digest
from tests.flows.stores import times_computed

pytestmark = pytest.mark.without_prefect


def saved(root, name, first):
    (root / name).mkdir(parents=True, exist_ok=True)
    crops = np.arange(5 * 16 * 16 * 3, dtype=np.int64).reshape(5, 16, 16, 3) % 255
    np.save(root / name / f"{name}.npy", (crops + first).astype(np.uint8))


@pytest.fixture
def crops(tmp_path):
    root = tmp_path / "faces"
    for number in range(3):
        saved(root, f"clip_{number}", number)
    return root


@pytest.fixture
def run(merflow, corpus, crops, tmp_path):
    """A network on crops, and a feature that has nothing to do with them; the crops have a stated rate."""
    (tmp_path / "c.yaml").write_text(
        f"faces: {{source: mertools, root: {crops}, frame_rate: 5}}\n"
        "extractors:\n  - {name: image, weights: {random: {seed: 0, size: tiny}}}\n  - {name: gemaps}\n"
    )
    (corpus / "t.csv").write_text("id,audio\n" + "".join(f"clip_{i},clip_{i}.mp4\n" for i in range(3)))
    merflow("ingest", corpus / "t.csv", "--out", tmp_path / "m.parquet")

    def call(*more, expect=0):
        line = ("run", "-c", tmp_path / "c.yaml", "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
        return merflow(*line, *more, expect=expect)

    return call


def test_replaced_crops_make_stale_what_was_made_from_them(run, merflow, status, crops, tmp_path):
    store = tmp_path / "s"
    run()
    before = open_store(store).get("clip_1", "image").values.tobytes()
    assert "changed" not in run().stdout
    saved(crops, "clip_1", 77)
    assert status(store, expect=1)["features"]["image"]["stale"] == 1
    assert "image: 1 stale value (clip_1); changed: released face crops" in run(expect=1).stdout
    refused = merflow("export", "hdf5", store, tmp_path / "x.h5", "--opt", "allow_synthetic=true", expect=2)
    assert "image: 1 stale value (clip_1); changed: released face crops" in refused.stderr
    run("--replace-stale")
    assert open_store(store).get("clip_1", "image").values.tobytes() != before
    assert status(store)["features"]["image"]["stored"] == 3
    computed = times_computed(store)
    assert [computed["image", f"clip_{i}"] for i in range(3)] == [1, 2, 1]
    assert [computed["gemaps", f"clip_{i}"] for i in range(3)] == [1, 1, 1]
    assert "0 problems" in merflow("verify", store).stdout


def test_the_same_crops_in_another_place_are_the_same(run, status, crops, tmp_path):
    run()
    moved = crops.rename(tmp_path / "elsewhere")
    assert not status(tmp_path / "s")["features"]["image"].get("stale")
    config = tmp_path / "c.yaml"
    config.write_text(config.read_text().replace(str(crops), str(moved)))
    for path in moved.rglob("*.npy"):
        shutil.copyfile(path, path.with_suffix(".new"))  # another time and another inode
        path.with_suffix(".new").replace(path)
    assert "changed" not in run().stdout
    assert times_computed(tmp_path / "s")["image", "clip_0"] == 1
    saved(moved, "clip_0", 77)  # seen there, too, by those who know the place from the run's record only
    assert status(tmp_path / "s", expect=1)["features"]["image"]["stale"] == 1


def test_missing_crops_that_come_later_are_tried_by_a_plain_run(run, status, crops, tmp_path):
    shutil.rmtree(crops / "clip_2")
    run(expect=1)
    assert status(tmp_path / "s", expect=1)["features"]["image"]["failed"] == 1
    saved(crops, "clip_2", 2)
    run()
    assert status(tmp_path / "s")["features"]["image"]["stored"] == 3


def test_crops_that_are_nowhere_are_refused_before_any_work(run, corpus, crops, merflow, tmp_path):
    moved = crops.rename(tmp_path / "elsewhere")
    for more in ((), ("--dry-run",)):
        said = run(*more, expect=2).stderr
        assert f"{crops}: no such folder of released crops; move it back, or correct `root:`" in said
    crops.mkdir()
    (crops / "openface_face").mkdir()
    rows = "".join(f"more_{i},clip_0.mp4\n" for i in range(9))
    (corpus / "t.csv").write_text("id,audio\nclip_0,clip_0.mp4\n" + rows)
    merflow("ingest", corpus / "t.csv", "--out", tmp_path / "m.parquet")
    said = run(expect=2).stderr
    assert f"{crops}: has no crops of the first 10 clips; expected clip_0/clip_0.npy or a folder of images" in said
    crops.joinpath("openface_face").rmdir()
    crops.rmdir()
    moved.rename(crops)
    assert "bad_crops 9" in run(expect=1).stdout  # one of ten has some


def test_digests_tell_crops_apart_by_sizes_names_and_three_blocks(tmp_path):
    clip, folder = Clip("a"), tmp_path / "a_aligned"
    assert crops_digest(tmp_path / "nowhere", clip) == 0
    missing = crops_digest(tmp_path, clip)
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([number]) * 40)
    found = [missing, crops_digest(tmp_path, clip)]
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([9]) * 40)
        found.append(crops_digest(tmp_path, clip))
    (folder / "1.png").rename(folder / "3.png")
    found.append(crops_digest(tmp_path, clip))
    assert len(set(found)) == len(found)
    shutil.rmtree(folder)
    data = bytearray(1 << 20)
    found = []
    for place in (None, 0, 1 << 19, (1 << 20) - 1):
        if place is not None:
            data[place] ^= 1
        (tmp_path / "a.npy").write_bytes(data)
        found.append(crops_digest(tmp_path, clip))
    assert len(set(found)) == 4

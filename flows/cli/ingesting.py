"""`merflow ingest`: from a corpus on disk to a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from configs.paths import as_path
from flows.cli.options import JsonOption, OptOption, console, counting, parse_options

PREVIEWED = 5
WORTH_TELLING = 10.0  # seconds


def ingest(
    path: Annotated[Path, typer.Argument(help="Folder of clips, or a table: CSV, TSV, JSON, JSONL.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Manifest to write: .parquet or .jsonl.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus reader; default: what it looks like.")] = None,
    opt: OptOption = None,
    label_map: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="Labels in merflow's words: a file, or a language.")
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(metavar="DIR|FILE", help="Times of words: TextGrid, CTM, JSON of whisperX or MFA, CSV."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show the first clips, the columns in use, how long it takes."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a corpus on disk into a manifest; list what is missing, extra and duplicate."""
    from flows.cli.corpus_tables import show_cost, show_ingest, show_preview
    from flows.ingest import estimate_corpus, ingest_corpus
    from storage.ingest import preview

    path, options = as_path(path), parse_options(opt)
    if label_map is not None:
        options["label_map"] = label_map
    if words is not None:
        options["words"] = str(as_path(words))
    if dry_run:
        clips, report = preview(corpus, path, options, PREVIEWED)
        show_preview(console(), clips, report, estimate_corpus(corpus, path, options))
        return
    if out is None:
        raise ConfigError("give --out M.parquet, the manifest to write (or --dry-run to see the first clips)")
    out = as_path(out)
    if path.is_dir() and not out.exists():  # what is ingested again is mostly known already
        cost = estimate_corpus(corpus, path, options)
        if (cost.seconds or 0.0) >= WORTH_TELLING:
            show_cost(console(stderr=True), cost)
    with counting("reading clips") as progress:
        report = ingest_corpus(corpus, path, out, options, progress)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        show_ingest(console(), report, out)

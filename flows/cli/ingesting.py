"""`merflow ingest`: from a corpus on disk to a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, OptOption, console, parse_options


def ingest(
    path: Annotated[Path, typer.Argument(help="Folder of clips, or a table: CSV, TSV, JSON, JSONL.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Manifest to write: .parquet or .jsonl.")],
    corpus: Annotated[str | None, typer.Option(help="Corpus reader; default folder or table.")] = None,
    opt: OptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a corpus on disk into a manifest; list what is missing, extra and duplicate."""
    from flows.ingest import ingest_corpus

    report = ingest_corpus(corpus, path, out, parse_options(opt))
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        from flows.cli.tables import show_ingest

        show_ingest(console(), report, out)

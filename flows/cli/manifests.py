"""`merflow split` and `label-map`: how the clips of a manifest are divided, and what their labels mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from configs.errors import ConfigError
from configs.paths import as_path
from flows.cli.options import JsonOption, console

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.", callback=as_path)]


def split(
    manifest: ManifestArgument,
    by: Annotated[Literal["speaker", "group"], typer.Option(help="What must not be divided.")] = "speaker",
    folds: Annotated[
        int | None, typer.Option(min=2, help="Make so many folds; without it leaks are told only.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the table of folds; default such as speaker5.")] = None,
    use: Annotated[str | None, typer.Option(metavar="NAME", help="Make splits of a table of folds.")] = None,
    test: Annotated[str | None, typer.Option(help="With --use: the fold that becomes test.")] = None,
    val: Annotated[str | None, typer.Option(help="With --use: the fold that becomes val.")] = None,
) -> None:
    """Say what a manifest's splits leak; make folds of disjoint speakers or groups, or splits of folds."""
    from flows.cli.corpus_tables import show_folds
    from storage.folds import leaks, make_folds, use_folds
    from storage.manifest import Manifest

    if (use is None) != (test is None) or (val is not None and use is None):
        raise ConfigError("--use NAME and --test FOLD belong together, and --val FOLD to them")
    if use is not None and folds is not None:
        raise ConfigError("give either --folds, which makes a table, or --use, which makes splits of one")
    if use is not None and test is not None:
        counts = use_folds(manifest, use, test, val)
        for found, clips in sorted(counts.items()):
            typer.echo(f"{found or 'no split'}: {clips}")
        return
    if folds is not None:
        table = name or f"{by}{folds}"
        show_folds(console(), table, by, make_folds(manifest, by, folds, seed, table))
        typer.echo(f"written to {manifest}; merflow split {manifest} --use {table} --test 0 makes splits of them")
        return
    found_leaks = leaks(Manifest.open(manifest))
    for line in found_leaks:
        typer.echo(f"leak: {line}")
    if not found_leaks:
        typer.echo("no speaker and no group is in several splits")


def label_map(manifest: ManifestArgument, as_json: JsonOption = False) -> None:
    """Show what each raw label means in merflow's vocabulary, with the number of clips."""
    from flows.cli.corpus_tables import show_labels
    from storage.folds import label_counts
    from storage.manifest import Manifest

    counts = label_counts(Manifest.open(manifest))
    if as_json:
        rows = [{"label_raw": raw, "label": label, "clips": clips} for (raw, label), clips in counts.items()]
        typer.echo(json.dumps(rows, ensure_ascii=False))
    else:
        show_labels(console(), counts)

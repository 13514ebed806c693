"""Tables for people: corpora, what was ingested, folds and labels."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows.cli.tables import show_options
from storage.wording import counted, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from configs.plugins import OptionDescription
    from storage.clip import Clip
    from storage.corpora._shared.corpus import Corpus
    from storage.corpora._shared.report import IngestReport
    from storage.folds import Fold
    from storage.ingest import Estimate

FEW = 20


def show_ingest(console: Console, report: IngestReport, out: Path | None) -> None:
    """Say what was found, and everything that does not fit together.

    Args:
        console: Where to print.
        report: What the reader found.
        out: The manifest; None where it was made for a dry run only.
    """
    if report.recognised:
        console.print(f"read as --corpus {report.recognised}, which the folder looks like")
    wrote = "" if out is None else f"; wrote {out}"
    console.print(f"Found {counted(report.clips, 'clip')} in {report.corpus}{wrote}")
    for title, items in report.findings().items():
        if items:
            console.print("notes" if items is report.notes else f"[yellow]{len(items)} {title}[/]")
            _show_first(console, items)


def show_preview(console: Console, clips: Sequence[Clip], report: IngestReport, cost: Estimate) -> None:
    """The first clips of a corpus with what is known of each, what was noticed, and what ingesting it will take.

    Args:
        console: Where to print.
        clips: The clips.
        report: What the reader found so far.
        cost: Of hashing and probing its files.
    """
    if report.recognised:
        console.print(f"read as --corpus {report.recognised}, which the folder looks like")
    shown = ("id", "video", "audio", "start", "end", "split", "speaker", "label", "label_raw", "text")
    used = [name for name in shown if name == "id" or any(getattr(clip, name) is not None for clip in clips)]
    table = Table(*used)
    table.columns[0].overflow = "fold"
    for clip in clips:
        table.add_row(*("" if (value := getattr(clip, name)) is None else str(value) for name in used))
    console.print(table, markup=False)
    for title, items in report.findings().items():
        if items and items is not report.extra:
            console.print(title)
            _show_first(console, items)
    show_cost(console, cost)
    console.print("nothing was written (--dry-run)")


def show_cost(console: Console, cost: Estimate) -> None:
    """What hashing and probing a corpus will take; nothing where it has no media.

    Args:
        console: Where to print.
        cost: What was estimated.
    """
    if cost.seconds is not None:
        size = size_of(cost.bytes)
        time = f"{cost.seconds / 60:.0f} min" if cost.seconds >= 90 else f"{max(1, round(cost.seconds))} s"
        console.print(f"hashing and probing {counted(cost.files, 'file')}, {size}: about {time} here")


def _show_first(console: Console, items: Sequence[str]) -> None:
    for item in items[:FEW]:
        console.print(f"  {item}", markup=False)
    if len(items) > FEW:
        console.print(f"  ... and {len(items) - FEW} more")


def show_corpus(console: Console, reader: type[Corpus[Any]], options: Sequence[OptionDescription]) -> None:
    """All that is known of a corpus: its reader's own words, terms, published counts, labels and options.

    Args:
        console: Where to print.
        reader: The corpus's reader.
        options: Its options.
    """
    text = sys.modules[reader.__module__].__doc__ or reader.__doc__ or ""
    console.print(text.strip(), markup=False)
    console.print()
    for title, said in reader.facts().items():
        console.print(f"{title}: {said}", markup=False)
    show_options(console, "", options)


def show_folds(console: Console, name: str, by: str, folds: Sequence[Fold]) -> None:
    """The folds of a table with their clips, speakers or groups, and labels.

    Args:
        console: Where to print.
        name: Of the table.
        by: What was kept together.
        folds: The folds, in order.
    """
    table = Table("fold", "clips", f"{by}s", "labels", title=name)
    for number, fold in enumerate(folds):
        labels = ", ".join(f"{label or 'none'} {clips}" for label, clips in fold.labels.items())
        table.add_row(str(number), str(fold.clips), str(fold.groups), labels)
    console.print(table, markup=False)


def show_labels(console: Console, counts: Mapping[tuple[str | None, str | None], int]) -> None:
    """Raw labels with what they mean, and the number of clips.

    Args:
        console: Where to print.
        counts: Clips by raw and normalised label.
    """
    table = Table("label_raw", "label", "clips")
    table.columns[2].justify = "right"
    for (raw, label), clips in counts.items():
        table.add_row("(none)" if raw is None else raw, label or "(no counterpart)" * (raw is not None), str(clips))
    console.print(table, markup=False)

"""`merflow report` and `merflow view`: a store, or one clip of it, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.paths import local_path
from flows.cli.options import ClipsOption, StoreArgument

FramesOption = Annotated[
    bool, typer.Option("--frames", help="Show frames and play the clips: people can be recognised, mind the terms.")
]


def report(
    store: StoreArgument,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default STORE_report.")] = None,
    clips: ClipsOption = None,
    pages: Annotated[int, typer.Option(min=0, help="Most pages of flagged and failed clips.")] = 50,
    frames: FramesOption = False,
) -> None:
    """Write pages about a store: totals, failures and what to do, lengths, quality, balance, throughput, clips."""
    from flows.report.pages import ReportOptions, write_report
    from storage.store.store import open_store

    destination = report_beside(store) if out is None else local_path(out)
    for line in write_report(open_store(store), destination, ReportOptions(clips, pages, frames)):
        typer.echo(line)
    typer.echo(f"wrote {destination / 'index.html'}")


def report_beside(store: Path) -> Path:
    """Where the report of a store lies if nobody says otherwise."""
    return store.with_name(f"{store.name}_report")


def view(
    store: StoreArgument,
    clip: Annotated[str, typer.Argument()],
    out: Annotated[Path | None, typer.Option(help="Write a recording instead of opening the viewer.")] = None,
    frames: FramesOption = False,
) -> None:
    """Show one clip in Rerun: frames, boxes, landmarks and curves on one time axis. Needs the extra `view`."""
    from flows.report.recording import record_clip
    from flows.status import find_clip
    from storage.store.store import open_store

    opened = open_store(store)
    place = None if out is None else local_path(out)
    for line in record_clip(opened, find_clip(opened, clip), place, frames=frames):
        typer.echo(line)

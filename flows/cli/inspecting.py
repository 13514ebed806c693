"""`merflow status`, `clips`, `inspect` and `verify`: what a store holds, what failed, and whether it is whole."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from configs.paths import local_path
from flows.cli.options import JsonOption, StoreArgument, console, counting
from storage.wording import counted

LOG_SECONDS, LOOK_SECONDS = 10.0, 2.0


def status(
    store: StoreArgument,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run that goes on until it ends.")] = False,
) -> None:
    """Say what is stored, what failed and why, what is missing, and how the run goes that goes on."""
    from flows.cli.tables import show_next, show_status
    from flows.live import live_line, read_live
    from flows.status import read_status
    from storage.store.store import open_store

    if watch:
        _follow(store)
    live, store_status = read_live(store), read_status(open_store(store))
    if as_json:
        typer.echo(json.dumps(store_status.to_dict() | {"live": live}, ensure_ascii=False))
    else:
        if live is not None:
            typer.echo(live_line(live))
        show_status(console(), store_status, store, brief=False)
        show_next(console(), store_status, store)
    raise typer.Exit(store_status.exit_code)


def _follow(store: Path) -> None:
    """Show how the run goes until it ends: in place on a terminal, a line every ten seconds in a log."""
    from rich.live import Live

    from flows.live import live_line, read_live

    screen = console(stderr=True)
    if not screen.is_terminal:
        while (live := read_live(store)) is not None:
            typer.echo(live_line(live), err=True)
            time.sleep(LOG_SECONDS)
        return
    with Live(console=screen, transient=True, auto_refresh=False) as shown:
        while (live := read_live(store)) is not None:
            busy = [f"  {hand['shard']}: {', '.join(hand['clips'])}" for hand in live["in_hand"]]
            shown.update(Text("\n".join([live_line(live), *busy])), refresh=True)
            time.sleep(LOOK_SECONDS)


def clips(
    store: StoreArgument,
    where: Annotated[
        str | None, typer.Option(help="Only clips with this state or reason, such as failed, or gemaps=stale.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the clips with the state of each feature."""
    from flows.cli.tables import show_clips
    from flows.clip_list import list_clips
    from storage.store.store import open_store

    features, rows = list_clips(open_store(store), where)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        show_clips(console(), features, rows)


def inspect(
    store: StoreArgument,
    clip: Annotated[str, typer.Argument()],
    as_json: JsonOption = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the clip over time: a .png, .svg or .pdf to write.")] = None,
) -> None:
    """Show every feature of one clip: shape, times, valid share, summary numbers."""
    from dataclasses import asdict

    from flows.cli.tables import show_inspection
    from flows.status import inspect_clip, known_of
    from storage.store.store import open_store

    opened = open_store(store)
    found, rows, failures = inspect_clip(opened, clip)
    if plot is not None:
        from flows.report.plot import plot_clip

        plot = local_path(plot)
        for line in plot_clip(opened, found, plot):
            typer.echo(line)
        typer.echo(f"wrote {plot}")
        return
    known = known_of(found)
    if as_json:
        lists = {"features": [asdict(r) for r in rows], "failures": [asdict(f) for f in failures]}
        typer.echo(json.dumps({"clip": clip, "known": known, **lists}, ensure_ascii=False))
    else:
        show_inspection(console(), known, rows, failures)


def verify(store: StoreArgument) -> None:
    """Re-read every stored byte: checksums, shapes, finiteness, ids; notes say what is missing."""
    from storage.store.gaps import notes
    from storage.store.store import open_store
    from storage.store.verify import problems

    with counting("re-reading files") as progress:
        damage = list(problems(store, progress))  # reads stores too damaged to open
    for problem in damage:
        typer.echo(problem)
    if damage:
        typer.echo(counted(len(damage), "problem"))
        raise typer.Exit(1)
    opened = open_store(store)
    for note in notes(opened):
        typer.echo(f"note: {note}")
    stored = sum(int((rows.start >= 0).sum()) for rows in opened.index.features.values())
    typer.echo(f"0 problems in {stored} stored clip features")

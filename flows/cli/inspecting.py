"""`merflow status`, `clips`, `inspect` and `verify`: what a store holds, what failed, and whether it is whole."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, StoreArgument, console, counting
from storage.wording import counted


def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say what is stored, what failed and why, and what is missing."""
    from flows.cli.tables import show_next, show_status
    from flows.status import read_status
    from storage.store.store import open_store

    store_status = read_status(open_store(store))
    if as_json:
        typer.echo(json.dumps(store_status.to_dict(), ensure_ascii=False))
    else:
        show_status(console(), store_status, store, brief=False)
        show_next(console(), store_status, store)
    raise typer.Exit(store_status.exit_code)


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


def inspect(store: StoreArgument, clip: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Show every feature of one clip: shape, times, valid share, summary numbers."""
    from dataclasses import asdict

    from flows.cli.tables import show_inspection
    from flows.status import inspect_clip, known_of
    from storage.store.store import open_store

    found, rows, failures = inspect_clip(open_store(store), clip)
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

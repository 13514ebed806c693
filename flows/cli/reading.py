"""Commands that read a store, and the lists of plug-ins."""

from __future__ import annotations

import inspect as inspect_module
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, OptOption, StoreArgument, console, parse_options

NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them: list its options.")]


def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say what is stored, what failed and why, and what is missing."""
    from flows.cli.tables import show_status
    from flows.status import read_status
    from storage.store.store import open_store

    found = read_status(open_store(store))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        show_status(console(), found, store, brief=False)
    raise typer.Exit(found.exit_code)


def inspect(store: StoreArgument, clip: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Show every feature of one clip: shape, times, valid share, summary numbers."""
    from dataclasses import asdict

    from flows.cli.tables import show_inspection
    from flows.status import inspect_clip
    from storage.store.store import open_store

    rows, failures = inspect_clip(open_store(store), clip)
    if as_json:
        found = {"clip": clip, "features": [asdict(r) for r in rows], "failures": [asdict(f) for f in failures]}
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_inspection(console(), clip, rows, failures)


def verify(store: StoreArgument) -> None:
    """Re-read every stored byte: checksums, shapes, finiteness, ids; notes say what is missing."""
    from storage.store.store import open_store
    from storage.store.verify import problems

    found = list(problems(store))  # reads stores too damaged to open
    for problem in found:
        typer.echo(problem)
    if found:
        typer.echo(f"{len(found)} problems")
        raise typer.Exit(1)
    opened = open_store(store)
    for note in opened.notes():
        typer.echo(f"note: {note}")
    stored = sum(len(opened.clip_ids(name)) for name in opened.specs)
    typer.echo(f"0 problems in {stored} stored clip features")


def export(
    export_format: Annotated[str, typer.Argument(metavar="FORMAT", help="See `merflow formats`.")],
    store: StoreArgument,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="File or folder to make.")],
    opt: OptOption = None,
) -> None:
    """Write what training code reads, in one of the formats that `merflow formats` lists."""
    from extractors.core.media.frame_reader import ClipReader
    from storage.exporters import export as write_export
    from storage.store.store import open_store

    for line in write_export(export_format, open_store(store), destination, parse_options(opt), ClipReader()):
        typer.echo(line)
    typer.echo(f"wrote {destination}")


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to join.")],
    store: Annotated[Path, typer.Option("--store", "-s", help="Folder of the new store.")],
) -> None:
    """Join stores whose features have the same recipes into a new one."""
    from storage.store.merge import merge as join

    for line in join(stores, store):
        typer.echo(line)


def extractors(name: NameArgument = None) -> None:
    """List the extractors, or the options of one."""
    from extractors.core.extractor import extractor_class, extractor_names

    if name is None:
        _list({known: sys.modules[extractor_class(known).__module__].__doc__ for known in extractor_names()})
    else:
        typer.echo(inspect_module.cleandoc(extractor_class(name).Options.__doc__ or ""))


def corpora() -> None:
    """List the corpus readers."""
    from storage.corpora import corpus_names, corpus_reader

    _list({name: corpus_reader(name).__doc__ for name in corpus_names()})


def formats(name: NameArgument = None) -> None:
    """List the export formats, or the options of one."""
    from storage.exporters import exporter_module, exporter_names

    if name is None:
        _list({known: exporter_module(known).__doc__ for known in exporter_names()})
    else:
        _list(dict(exporter_module(name).OPTIONS))


def _list(found: dict[str, str | None]) -> None:
    for name, text in found.items():
        typer.echo(f"{name:16} {(text or '').strip().splitlines()[0]}")

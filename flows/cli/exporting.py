"""`merflow export` and `merge`: a store in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from configs.paths import as_path, local_path
from flows.cli.options import OptOption, StoreArgument, parse_options


def export(
    export_format: Annotated[str, typer.Argument(metavar="FORMAT", help="See `merflow formats`.")],
    store: StoreArgument,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="File or folder to make.")],
    opt: OptOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Swap an export of this format that is there, once the new one is whole.")
    ] = False,
) -> None:
    """Write what training code reads, in one of the formats that `merflow formats` lists."""
    from extractors.core.media.frame_reader import MediaFrameReader
    from storage.exporters import export as write_export
    from storage.store.store import open_store

    destination = local_path(destination)
    options, reader = parse_options(opt), MediaFrameReader()
    for line in write_export(export_format, open_store(store), destination, options, reader, replace=replace):
        typer.echo(line)
    typer.echo(f"wrote {destination}")


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to join.")],
    store: Annotated[Path, typer.Option("--store", "-s", help="Folder of the new store.")],
    prefer: Annotated[
        str | None, typer.Option(metavar="first", help="Of different values for one clip, take the first store's.")
    ] = None,
) -> None:
    """Join stores whose features have the same recipes into a new one."""
    from storage.store.merge import merge as join

    if prefer not in {None, "first"}:
        raise ConfigError(f"--prefer {prefer}: expected first")
    for line in join([as_path(s) for s in stores], as_path(store), prefer_first=prefer is not None):
        typer.echo(line)

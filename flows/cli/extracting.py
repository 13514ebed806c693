"""`merflow extract`: the features of one file, without a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from configs.paths import local_path
from flows.cli.options import console

if TYPE_CHECKING:
    from storage.records import Features

SUFFIXES = (".csv", ".parquet", ".npz")
SHOWN_ROWS, SHOWN_COLUMNS = 8, 6


def extract(
    file: Annotated[Path, typer.Argument(help="A media file, or an image.", callback=local_path)],
    features: Annotated[list[str], typer.Argument(metavar="FEATURE...", help="Such as gemaps faces.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write: .csv, .parquet, .npz; the screen without one.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="YAML file or shipped name; extractors' defaults without one."),
    ] = None,
    start: Annotated[float | None, typer.Option(help="Seconds at which to start.")] = None,
    end: Annotated[float | None, typer.Option(help="Seconds at which to end.")] = None,
) -> None:
    """Extract features of one file: no store, the same numbers as a run."""
    from flows.single_files import open_files

    names = list(dict.fromkeys(features))
    places = {} if out is None else _places(local_path(out), names)
    if not file.exists():
        raise ConfigError(f"{file}: no such file")
    files = open_files(names, config)
    try:
        found = files.features(file, start, end)
    finally:
        files.close()
    synthetic = [name for name, spec in files.specs.items() if spec.synthetic]
    for name, given in found.items():
        if name in places:
            _write(places[name], given)
            typer.echo(f"{name}: {given.values.shape[0]} x {given.values.shape[1]}, wrote {places[name]}")
        else:
            _show(name, given)
    if synthetic:
        typer.echo(f"synthetic (random weights, not meaningful): {', '.join(synthetic)}")


def _places(out: Path, names: list[str]) -> dict[str, Path]:
    """The file of each feature: the one that was given, or one each with the feature's name in it."""
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"{out}: expected a file named {', '.join(f'*{suffix}' for suffix in SUFFIXES)}")
    places = {name: out if len(names) == 1 else out.with_suffix(f".{name}{out.suffix}") for name in names}
    taken = next((path for path in places.values() if path.exists()), None)
    if taken is not None:
        raise ConfigError(f"{taken}: exists already; choose another --out, or remove it")
    return places


def _write(path: Path, features: Features) -> None:
    """Write a feature whole or not at all."""
    import numpy as np

    from storage.atomic import publish

    with publish(path) as temporary:
        if path.suffix == ".npz":
            columns = np.array(features.columns)
            with temporary.open("wb") as file:
                np.savez(file, values=features.values, times=features.times, valid=features.valid, columns=columns)
            return
        frame = features.to_frame().reset_index(drop=True)
        frame.insert(0, "start", features.times[:, 0])
        frame.insert(1, "end", features.times[:, 1])
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def _show(name: str, features: Features) -> None:
    """The first rows and columns on the screen."""
    from rich.table import Table

    rows, width = features.values.shape
    shown = features.columns[:SHOWN_COLUMNS]
    more = f", the first {len(shown)} of {width} columns" if width > len(shown) else ""
    table = Table("start", "end", *shown, title=f"{name}: {rows} x {width}{more}")
    for column in table.columns:
        column.justify = "right"
    for (begin, end), values in zip(features.times[:SHOWN_ROWS], features.values[:SHOWN_ROWS], strict=True):
        table.add_row(f"{begin:.3f}", f"{end:.3f}", *(f"{value:.5g}" for value in values[: len(shown)]))
    screen = console()
    screen.print(table)
    if rows > SHOWN_ROWS:
        screen.print(f"... and {rows - SHOWN_ROWS} more rows (--out FILE.csv writes all)")

"""What the commands of `merflow` share: options, the screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from configs.errors import ConfigError
from configs.paths import as_path

if TYPE_CHECKING:
    from rich.console import Console

ConfigOption = Annotated[str, typer.Option("--config", "-c", help="YAML file, or a shipped name: demo, indomer, merr.")]
StoreOption = Annotated[
    Path,
    typer.Option("--store", "-s", help="Folder of the feature store, or its address (s3://...).", callback=as_path),
]
StoreArgument = Annotated[
    Path,
    typer.Argument(metavar="STORE", help="Folder of the feature store, or its address (s3://...).", callback=as_path),
]
EngineOption = Annotated[str | None, typer.Option(help="auto, local, dask, or a scheduler address.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Worker processes for dask.")]
ClipsOption = Annotated[str | None, typer.Option("--clips", help="A file with one id a line, or a glob over ids.")]
RootOption = Annotated[
    list[str] | None, typer.Option("--root", help="Media folder where it moved: PATH, or NAME=PATH of one of several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OptOption = Annotated[list[str] | None, typer.Option("--opt", help="key=value; may be given several times.")]


def console(stderr: bool = False) -> Console:
    """The screen, or a log with lines of up to 200 characters."""
    from rich.console import Console

    # Without a terminal there is no width to fit: a log must not lose the end of a clip's name.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 200
    return Console(stderr=stderr, highlight=False, width=width)


class Counting(Protocol):
    """Shows how far something is."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say it.

        Args:
            done: How many.
            total: Of how many; None where nobody knows.
        """


@contextmanager
def counting(what: str) -> Iterator[Counting | None]:
    """A count on a terminal, with a bar where the total is known; nothing in a log.

    Args:
        what: What is done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def parse_roots(given: list[str] | None) -> dict[str, Path]:
    """Media folders of `--root PATH` and `--root NAME=PATH`, by name; an empty one for the only folder."""
    roots = {}
    for text in given or []:
        name, equals, path = text.partition("=")
        is_named = bool(equals) and not Path(text).expanduser().exists()
        roots[name if is_named else ""] = as_path(path if is_named else text)
    return roots


def parse_options(pairs: list[str] | None) -> dict[str, str]:
    """Values of `--opt key=value`.

    Raises:
        ConfigError: If one is not of this form.
    """
    options = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--opt {pair!r}: expected key=value")
        options[key] = value
    return options

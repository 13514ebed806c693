"""What the commands of `merflow` share: options, the screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

ConfigOption = Annotated[str, typer.Option("--config", "-c", help="YAML file, or a shipped name: demo, indomer, merr.")]
StoreOption = Annotated[Path, typer.Option("--store", "-s", help="Folder of the feature store.")]
StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the feature store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OptOption = Annotated[list[str] | None, typer.Option("--opt", help="key=value; may be given several times.")]


def console(stderr: bool = False) -> Console:
    """The screen, or a log with lines of up to 200 characters."""
    from rich.console import Console

    # Without a terminal there is no width to fit: a log must not lose the end of a clip's name.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 200
    return Console(stderr=stderr, highlight=False, width=width)


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

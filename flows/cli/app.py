"""The `merflow` command: its commands put together, and errors turned into exit codes.

Exit codes: 0 all that was asked for is stored or skipped by rule, 1 something asked for is failed, stale or missing, 2
usage, configuration or place, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import MerflowError
from flows.cli import (
    doctor,
    exporting,
    extracting,
    identifying,
    ingesting,
    inspecting,
    manifests,
    plugins,
    repairing,
    reporting,
    running,
    serving,
    starting,
    weights,
)
from flows.places import PLACES, place_error

INTERRUPTED = 130
app = typer.Typer(
    name="merflow",
    help="Feature extraction for emotion recognition: clips in, an aligned, resumable feature store out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(help="Fetch model weights once; runs never touch the network.", no_args_is_help=True)
COMMANDS: tuple[Callable[..., None], ...] = (
    *(running.demo, doctor.doctor, extracting.extract, starting.init),
    *(ingesting.ingest, manifests.split, manifests.label_map, running.run, serving.serve),
    *(inspecting.status, inspecting.clips, inspecting.inspect, inspecting.verify),
    *(reporting.report, reporting.view, serving.ui),
    *(repairing.retry, repairing.forget, repairing.drop, repairing.relocate, repairing.compact),
    *(exporting.export, exporting.merge, identifying.identify),
    *(plugins.extractors, plugins.detectors, plugins.corpora, plugins.formats),
)


def _show_version(is_asked: bool) -> None:  # typer calls it
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"merflow {version('merflow')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which merflow this is.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Feature extraction for emotion recognition: clips in, an aligned, resumable feature store out."""


for command in COMMANDS:
    app.command()(command)
app.add_typer(weights_app, name="weights")
weights_app.command("pull")(weights.pull)


@cache
def _command() -> Any:
    """The commands with their options as click has them: reading them off all signatures takes a tenth of a second."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line; every expected error is one line and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _command()(standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except MerflowError as error:
        sys.stderr.write(f"merflow: {error}\n")
        code = 2
    except OSError as error:
        if error.errno not in PLACES and _has_folder():
            raise
        said = place_error(error) if error.errno in PLACES else "the folder that you are in is gone; go to another one"
        sys.stderr.write(f"merflow: {said}\n")
        code = 2
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        error.show()  # type: ignore[attr-defined]  # click's usage errors
        code = 2
    if code == INTERRUPTED:
        sys.stderr.write("merflow: interrupted; run the same command to resume\n")
    sys.exit(code)


def _has_folder() -> bool:
    """Whether the current folder exists: another terminal may have removed it."""
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

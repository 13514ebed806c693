"""`merflow serve` and `merflow ui`: nightly runs, and Prefect's pages about all runs."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from tzlocal import get_localzone_name

from configs.errors import ConfigError
from configs.paths import as_path
from flows.cli.options import ConfigOption, EngineOption, OptOption, StoreOption, WorkersOption
from storage.remote import is_folder


def serve(
    config: ConfigOption,
    store: StoreOption,
    corpus: Annotated[
        tuple[str, Path], typer.Option(metavar="NAME PATH", help="Corpus to read anew at every tick: folder clips/.")
    ],
    cron: Annotated[str | None, typer.Option(help='When, such as "0 2 * * *" for every night at two.')] = None,
    every: Annotated[float | None, typer.Option(min=1, help="Seconds between runs, instead of --cron.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of --cron, as Europe/Berlin; default this machine's.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the schedule; default the store's.")] = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    opt: OptOption = None,
) -> None:
    """Run again and again: new and repaired clips of a corpus are extracted on a schedule. SIGTERM ends it."""
    from configs.schema import load_config
    from flows.plan import build_extractors, with_engine
    from flows.prefect_server import prefect_server

    if (cron is None) == (every is None):
        raise ConfigError('give either --cron "0 2 * * *" or --every SECONDS')
    zone = timezone or get_localzone_name() or "UTC"
    _check_time(cron, zone)
    build_extractors(with_engine(load_config(config), engine, workers))  # a wrong one should not wait for the night
    place = as_path(corpus[1]).absolute()
    if not (is_folder(place) or place.exists()):
        raise ConfigError(f"{place}: no such corpus")
    store = store.absolute()
    schedule = name or store.name
    given = str(Path(config).absolute()) if Path(config).is_file() else config
    command = ["run", "-c", given, "--corpus", corpus[0], str(place), "-s", str(store), "--schedule", schedule]
    for option, value in (("--engine", engine), ("--workers", workers), *(("--opt", o) for o in opt or ())):
        command += [] if value is None else [option, str(value)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with prefect_server():
        from flows.prefect_schedule import serve as serve_schedule

        when = f'at "{cron}" ({zone})' if cron else f"every {every:g} s"
        typer.echo(f"serving {schedule} {when}: merflow {' '.join(command)}")
        sys.stdout.flush()
        serve_schedule(schedule, command, store, cron, every or 0.0, zone)


def _check_time(cron: str | None, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"--timezone {zone}: no such time zone; one like Europe/Berlin or UTC") from error
    if cron is not None:
        from cronsim import CronSim, CronSimError

        try:
            CronSim(cron, datetime.now(UTC))
        except CronSimError as error:
            five = 'expected five fields: minute hour day month weekday, as "0 2 * * *"'
            raise ConfigError(f'--cron "{cron}": {error}; {five}') from error


def ui(port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the pages.")] = 4200) -> None:
    """Show this machine's runs in Prefect's pages until Ctrl-C: a server of its own, on merflow's history."""
    from flows.prefect_pages import serve_pages

    def told(url: str) -> None:
        typer.echo(f"Prefect's pages: {url} (Ctrl-C ends them; runs go on)")
        sys.stdout.flush()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve_pages(port, told)

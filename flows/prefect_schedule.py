"""Scheduled runs: a Prefect deployment, each of whose runs is one `merflow run`.

A tick of the schedule reads the corpus again and runs what is new in a process of its own, with the same command that a
person would type; what it did stands in the store's run records. That a schedule never overlaps itself, and that all
ticks which were missed become one run, is decided from these records. Prefect's global limit is not used: it was seen
to let two run, and a slot that a killed process had held cancelled every tick for ten minutes.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import Event, Resource, get_events_client
from prefect.runner import Runner
from prefect.runtime import flow_run
from prefect.schedules import Cron, Interval, Schedule
from prefect.states import Completed, Failed
from prefect.types.entrypoint import EntrypointType

from configs.errors import RunError
from configs.paths import as_path
from flows.plan import new_run_id
from flows.schedule import is_behind, last_due, needless, run_command, say
from storage.store.runs import read_runs

FAILED_EVENT = "merflow.run.failed"


@flow(name="merflow-scheduled", flow_run_name="{schedule}", validate_parameters=False, persist_result=False)
def scheduled_run(schedule: str, command: list[str], store: str) -> State[None]:
    """One tick of a schedule.

    Args:
        schedule: Name of the schedule.
        command: Arguments of `merflow`.
        store: Folder of the store.

    Returns:
        Completed; also where the tick was not needed, and says so. Failed where the run could not work.
    """
    why = needless(read_runs(as_path(store)), schedule, flow_run.scheduled_start_time)
    if why:
        say(why)
        return Completed(message=why, name="Skipped")
    began = new_run_id()
    say(f"merflow {' '.join(command)}")
    code, last = run_command(command)
    if code in {0, 1}:
        run_command(["report", store])  # what goes wrong there is said and fails nothing
    record = _record_of(read_runs(as_path(store)), began)
    outcomes = record.get("outcomes", {})
    if code in {0, 1} and not outcomes.get("failed"):
        return Completed(message=last)
    resource = {"prefect.resource.id": f"merflow.store.{as_path(store).name}", "prefect.resource.name": store}
    told = {"store": store, "run": record.get("run", ""), "exit_code": code, "outcomes": outcomes, "said": last}
    asyncio.run(_emit(Event(event=FAILED_EVENT, resource=Resource(resource), payload=told)))
    return Completed(message=last) if code == 1 else Failed(message=last or f"exit code {code}")


async def _emit(event: Event) -> None:
    """Emit an event, and wait until the server has it: this process ends soon, and with it what waits to be sent."""
    async with get_events_client(checkpoint_every=1) as client:
        await client.emit(event)


def _record_of(runs: Sequence[dict[str, Any]], began: str) -> dict[str, Any]:
    return next((run for run in reversed(runs) if run["run"] > began), {})


def serve(schedule: str, command: Sequence[str], store: Path, cron: str | None, every: float, timezone: str) -> None:
    """Serve a schedule until SIGTERM or Ctrl-C; call it inside `prefect_server`.

    Args:
        schedule: Its name.
        command: Arguments of `merflow` for each tick.
        store: Folder of the store.
        cron: When, as cron writes it; None for `every`.
        every: Seconds between ticks.
        timezone: Name of the time zone that `cron` is about, such as `Europe/Berlin`.

    Raises:
        RunError: If Prefect's server does not take it.
    """
    when = Cron(cron, timezone=timezone) if cron else Interval(timedelta(seconds=every), timezone=timezone)
    runner = Runner(name=schedule, limit=1)
    try:
        deployment = _add(runner, schedule, command, store, when)
    except Exception as error:
        raise RunError(f"Prefect's server did not take the schedule ({type(error).__name__}: {error})") from error
    missed = is_behind(read_runs(store), schedule, last_due(cron, every, timezone))
    _run_until_told(runner, deployment if missed else None)


def _add(runner: Runner, schedule: str, command: Sequence[str], store: Path, when: Schedule) -> UUID:
    made = runner.add_flow(
        scheduled_run,
        name=schedule,
        schedule=when,
        parameters={"schedule": schedule, "command": list(command), "store": str(store)},
        tags=["merflow"],
        description=f"merflow {' '.join(command)}",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast("UUID", made)  # a coroutine only where a loop runs


def _run_until_told(runner: Runner, missed: UUID | None) -> None:
    """What `flow.serve` does, but for the end: its own handler of SIGTERM leaves the loop in the midst of its tasks.

    In a thread, the runner installs none; this one lets it stop, cancel what runs, and pause the schedule. Prefect
    forgets the ticks that were due while nobody served: one run makes up for them.
    """
    told = threading.Event()

    async def run() -> None:
        started = asyncio.ensure_future(runner.start())
        if missed is not None:
            say("a tick was missed while nobody served: one run makes up for it")
            async with get_client() as client:
                await client.create_flow_run_from_deployment(missed)
        while not told.is_set() and not started.done():
            await asyncio.sleep(0.2)
        if not started.done():
            await runner.astop()
        await started

    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ThreadPoolExecutor(1, "merflow-schedule") as pool:
            pool.submit(asyncio.run, run()).result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

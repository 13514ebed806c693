"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows.failures import by_clip, reasons
from flows.status import Counts, Inspection, Status
from storage.wording import counted, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from configs.plugins import OptionDescription
    from flows.dry_run import DryRun
    from storage.records import Failure


def show_status(console: Console, status: Status, store: Path, *, brief: bool) -> None:
    """Counts per feature, and every clip that failed with its reason.

    Args:
        console: Where to print.
        status: The store's status.
        store: Its folder.
        brief: Whether to count failures only: the run told of each.
    """
    table = Table("feature", "planned", "stored", "failed", "skipped", "stale", "missing")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in status.features.items():
        mark = " (synthetic)" if name in status.synthetic else ""
        table.add_row(name + mark, *_numbers(counts))
    table.add_section()
    table.add_row("clips", *_numbers(status.clips))
    console.print(table)
    _show_failures(console, status.failures, store, brief=brief)
    if status.flags:
        flagged = ", ".join(f"{name} in {counted(n, 'clip')}" for name, n in sorted(status.flags.items()))
        console.print(f"unusual media: {flagged} (docs/media.md; `store.flags(clip, feature)` names them per clip)")
    for name, versions in status.mixed.items():
        console.print(f"[yellow]mixed versions[/] {name}: {versions}", highlight=False)
    for line in status.stale:
        console.print("[yellow]stale[/] ", end="")
        console.print(line, markup=False)
    for name, why in status.unreadable.items():
        console.print(f"[red]unreadable[/] {name}: ", end="")
        console.print(f"{why}; what it holds counts as missing, and the next run computes it again", markup=False)
    if status.synthetic:
        console.print(f"[yellow]synthetic[/] (random weights, not meaningful): {', '.join(status.synthetic)}")
    if status.exit_code == 0:
        console.print("[green]complete[/]: everything planned is stored or skipped by rule")


def show_next(console: Console, status: Status, store: Path) -> None:
    """Say what to do about what is not stored.

    Args:
        console: Where to print.
        status: Of what was asked for.
        store: The store's folder.
    """
    pairs = status.pairs
    if status.last_run in {"interrupted", "crashed", "failed"} and pairs.missing:
        console.print(f"the last run was {status.last_run}")
    if pairs.missing:
        console.print(f"{counted(pairs.missing, 'clip feature')} missing: the same merflow run again computes them")
    if pairs.failed:
        number = counted(len({f.clip_id for f in status.failures if f.state == "failed"}), "clip")
        console.print(f"{number} failed: merflow retry {store}", soft_wrap=True)
    if pairs.stale:
        number = counted(pairs.stale, "stale value")
        console.print(f"{number}: merflow run with --replace-stale computes them anew, with the same configuration")


def show_dry_run(console: Console, found: DryRun) -> None:
    """What a run would do: clips, features, hours, bytes, and weights that are not there.

    Args:
        console: Where to print.
        found: What it would do.
    """
    console.print(f"{found.todo} of {counted(found.clips, 'clip')} to do ({found.media_seconds:,.0f} s of media)")
    for name, missing in found.missing.items():
        console.print(f"  {name}: {missing} to do, {found.clips - missing} stored, failed or skipped", markup=False)
    if found.work_seconds is not None:
        hours = found.work_seconds / 3600
        console.print(f"about {hours:.1f} h of work on one worker, at the rate of the store's own runs")
    console.print(f"about {size_of(found.bytes)} to write, {size_of(found.free)} free")
    for line in found.stale:
        console.print(f"stale: {line}", markup=False)
    for name, why in found.weights.items():
        console.print(f"[red]no weights[/] {name}: ", end="")
        console.print(why, markup=False)
    console.print("nothing was written (--dry-run)")


def show_clips(console: Console, features: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """The clips, one line each, with the state of each feature.

    Args:
        console: Where to print.
        features: Names of the features.
        rows: What `list_clips` gave.
    """
    table = Table("clip", "split", *features)
    table.columns[0].overflow = "fold"
    for row in rows:
        states = (row["features"][name] for name in features)
        table.add_row(row["id"], row["split"] or "", *(s["state"] + _because(s) for s in states))
    console.print(table)


def _because(state: dict[str, str]) -> str:
    return f" ({state['why']})" if "why" in state else ""


def _numbers(counts: Counts) -> list[str]:
    names = ("planned", "stored", "failed", "skipped", "stale", "missing")
    return [str(getattr(counts, name)) for name in names]


def _show_failures(console: Console, failures: Sequence[Failure], store: Path, *, brief: bool) -> None:
    failed = [f for f in failures if f.state == "failed"]
    skipped = [f for f in failures if f.state == "skipped"]
    if brief and failed:
        clips = counted(len({f.clip_id for f in failed}), "clip")
        counts = ", ".join(f"{reason} {n}" for reason, n in reasons(failed).most_common())
        console.print(f"[red]failed[/]: {clips} ({counts}); merflow status {store} names them", soft_wrap=True)
    else:
        for clip_id, reason, message, features in by_clip(failed):
            console.print(f"[red]failed[/] {clip_id}: {reason}: ", end="")
            console.print(f"{message} ({', '.join(features)})", markup=False)
    if skipped:
        counts = ", ".join(f"{reason} {n}" for reason, n in reasons(skipped).items())
        console.print(f"skipped by rule: {counts}")


def show_inspection(
    console: Console, known: Mapping[str, Any], rows: Sequence[Inspection], failures: Sequence[Failure]
) -> None:
    """What is known of a clip, and every feature of it, one line each.

    Args:
        console: Where to print.
        known: What its corpus says of it.
        rows: Summary of each feature that it has.
        failures: Why it lacks the others.
    """
    table = Table("feature", "shape", "seconds", "valid", "mean", "std", "min", "max", "source", title=known["id"])
    for row in rows:
        numbers = ["-" if n is None else f"{n:.4g}" for n in (row.mean, row.deviation, row.low, row.high)]
        span = f"{row.begin:.3f}-{row.end:.3f}"
        source = row.source + (" (synthetic)" if row.synthetic else "")
        table.add_row(row.feature, f"{row.shape[0]} x {row.shape[1]}", span, f"{row.valid:.0%}", *numbers, source)
    console.print(table)
    for name, value in known.items():
        console.print(f"{name}: {_plain(value)}", markup=False)
    for row in rows:
        if row.flags:
            flags = ", ".join(f"{name} {number:g}" for name, number in row.flags.items())
            console.print(f"unusual media, {row.feature}: {flags} (docs/media.md)", markup=False)
    for failure in failures:
        console.print(f"{failure.state} {failure.feature}: {failure.reason}: {failure.message}", markup=False)


def _plain(value: Any) -> str:
    """A value of a clip's field, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {said}" for key, said in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def show_options(console: Console, summary: str, options: Sequence[OptionDescription]) -> None:
    """Every option of a plug-in with type, default and meaning.

    Args:
        console: Where to print.
        summary: What the plug-in is.
        options: Its options.
    """
    if summary:
        console.print(summary, markup=False)
    if not options:
        console.print("no options")
        return
    table = Table("option", "type", "default", "meaning")
    for option in options:
        table.add_row(option.name, option.type, option.default, option.meaning)
    console.print(table, markup=False)

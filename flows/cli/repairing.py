"""`merflow retry`, `forget`, `drop`, `relocate` and `compact`: a store corrected, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import ClipsOption, StoreArgument, console, counting
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


def retry(
    store: StoreArgument,
    reason: Annotated[str | None, typer.Option(help="Only what failed for this reason, such as no_text.")] = None,
    clips: ClipsOption = None,
    mark_only: Annotated[bool, typer.Option("--mark-only", help="Only mark them; the next run tries them.")] = False,
) -> None:
    """Try again what failed, with the last run's configuration."""
    from flows.repair import last_configuration, mark_for_retry
    from flows.run import Request
    from storage.store.store import FeatureStore

    opened = FeatureStore(store)
    config, features = last_configuration(opened) if not mark_only else (None, [])
    marked = mark_for_retry(opened, reason, clips)
    screen = console()
    if not marked:
        screen.print("nothing to try again: no failure matches")
        return
    screen.print(f"to be tried again: {counted(marked, 'failure')}")
    if config is not None:
        from flows.cli.running import report_run, run_with_progress

        result = run_with_progress(config, None, store, Request(features, clips, mixed_versions=True))
        raise typer.Exit(report_run(result, store))


def forget(
    store: StoreArgument,
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Ids of clips.")],
    now: Annotated[bool, typer.Option("--now", help="Remove their values from the disk at once.")] = False,
) -> None:
    """Take clips out of a store, for good; `compact` removes their values from the disk."""
    from flows.repair import forget_clips
    from storage.store.store import FeatureStore

    opened = FeatureStore(store)
    forget_clips(opened, clips)
    typer.echo(f"taken out of {store}: {counted(len(clips), 'clip')}")
    if now:
        _compact(opened)
    typer.echo("a manifest that still has them would bring them back: ingest the corpus without them")


def drop(store: StoreArgument, feature: Annotated[str, typer.Argument(help="Name of the feature.")]) -> None:
    """Take a feature out of a store, for good, with its files."""
    from flows.repair import drop_feature
    from storage.store.store import FeatureStore

    typer.echo(f"taken out of {store}: {counted(drop_feature(FeatureStore(store), feature), 'file')} of {feature}")


def relocate(
    store: StoreArgument,
    moves: Annotated[list[str], typer.Argument(metavar="OLD=NEW...", help="A media folder's name or old place.")],
) -> None:
    """Say where media folders are now."""
    from flows.repair import relocate_media
    from storage.store.store import FeatureStore

    for name, folder in relocate_media(FeatureStore(store), moves).items():
        typer.echo(f"{name}: {folder}")


def compact(store: StoreArgument) -> None:
    """Join small files into large ones, and remove what was superseded or taken out."""
    from storage.store.store import FeatureStore

    _compact(FeatureStore(store))


def _compact(store: FeatureStore) -> None:
    from storage.store.compact import compact as join

    with counting("joining files") as progress:
        lines = join(store, progress)
    for line in lines:
        typer.echo(line)

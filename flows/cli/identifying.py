"""`merflow identify`: how somebody's features were made."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import RunError
from configs.paths import local_path
from flows.cli.options import JsonOption, StoreOption, console

if TYPE_CHECKING:
    from flows.identify import Identified

SHOWN = 10


def identify(
    folder: Annotated[
        Path, typer.Argument(help="A tree of CLIP.npy, (D,) or (T, D), of one feature.", callback=local_path)
    ],
    store: StoreOption,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", help="Candidates: YAML files or shipped names; all shipped ones without."),
    ] = None,
    features: Annotated[str | None, typer.Option(help="Names of candidates, separated by commas.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many clips to compute.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Say how features were made: a few clips are computed in every plausible way, and compared."""
    from configs.schema import SAME_RECIPES, load_config, named_configs
    from flows.identify import identify as compare
    from flows.identify import read_given
    from storage.store.store import FeatureStore

    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    names = config or [name for name in named_configs() if name not in SAME_RECIPES]
    configs = [load_config(name) for name in names]
    with FeatureStore(store) as opened:
        given = read_given(folder, opened.manifest, clips)
    screen = console(stderr=True)
    only = None if features is None else [name.strip() for name in features.split(",")]
    found = compare(given, configs, lambda text: screen.print(f"computing {text}"), only)
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        _show(found)
    raise typer.Exit(0 if found.equal else 1)


def _show(found: Identified) -> None:
    from rich.table import Table

    shape = found.given[0].array.shape
    ids = ", ".join(given.clip.id for given in found.given)
    typer.echo(f"given: {shape[1]} columns, {'one row' if shape[0] == 1 else 'rows'} a clip; compared on {ids}")
    for candidate in found.equal:
        typer.echo(f"equal: {candidate.shown}, largest difference {candidate.largest:.2g}")
    if not found.equal:
        near = next((c for c in found.candidates if not isnan(c.distance)), None)  # not NaN
        typer.echo("equal: none" + ("" if near is None else f"; the nearest: {near.shown}, {near.distance:.1%} away"))
    table = Table("candidate", "distance", "largest difference", "rows given/computed", "remark")
    for candidate in found.candidates[:SHOWN]:
        distance = "" if isnan(candidate.distance) else f"{candidate.distance:.2%}"
        rows = ", ".join(dict.fromkeys(f"{theirs}/{ours}" for theirs, ours in candidate.rows))
        table.add_row(candidate.shown, distance, f"{candidate.largest:.3g}", rows, candidate.problem)
    if found.candidates:
        console().print(table)
    if len(found.candidates) > SHOWN:
        typer.echo(f"... and {len(found.candidates) - SHOWN} more candidates (--json has all)")
    if found.absent:
        typer.echo(f"not tried, for their weights are not on this machine: {', '.join(sorted(found.absent))}")


def _plain(found: Identified) -> dict[str, object]:
    return {
        "clips": [given.clip.id for given in found.given],
        "columns": found.given[0].array.shape[1],
        "equal": [candidate.shown for candidate in found.equal],
        "candidates": [
            {
                "feature": c.feature,
                "extractor": c.extractor,
                "options": dict(c.options),
                "distance": None if isnan(c.distance) else c.distance,
                "largest_difference": c.largest,
                "rows": [list(pair) for pair in c.rows],
                "equal": c.is_equal,
                "problem": c.problem,
            }
            for c in found.candidates
        ],
        "not_tried": found.absent,
    }

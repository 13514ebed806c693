"""`merflow doctor`: what on this machine would end or surprise a run, and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from configs.paths import as_path
from flows.cli.options import JsonOption, RootOption, console, parse_roots


def doctor(
    config: Annotated[str | None, typer.Option("--config", "-c", help="A configuration: are its weights here?")] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", "-m", help="A manifest: are its media here?")] = None,
    store: Annotated[Path | None, typer.Option("--store", "-s", help="A store, there or not: is there space?")] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine as a run does before it begins, and say what to do. Exit code 2 if a run would end."""
    from configs.schema import load_config
    from flows.doctor import examine
    from storage.manifest import Manifest

    loaded = None if config is None else load_config(config)
    clips = None if manifest is None else Manifest.open(as_path(manifest), parse_roots(root))
    screen, worst = console(), 0
    for check in examine(loaded, clips, None if store is None else as_path(store)):
        worst = 2 if check.state == "bad" else worst
        if as_json:
            typer.echo(json.dumps(asdict(check), ensure_ascii=False))
        else:
            colour = {"ok": "green", "note": "yellow", "bad": "red"}[check.state]
            screen.print(f"[{colour}]{check.state:>4}[/]  {check.name:<13}", end=" ")
            screen.print(check.found, markup=False, soft_wrap=True)
    if not as_json:
        typer.echo("nothing here would end a run" if not worst else "see what is bad above; a run would end there")
    raise typer.Exit(worst)

"""`merflow weights`: fetches weights once, so that runs never need the network."""

from __future__ import annotations

import sys

import typer

from flows.cli.options import ConfigOption
from storage.wording import size_of


def pull(config: ConfigOption) -> None:
    """Fetch the weights that a configuration names, from the Hugging Face hub (HF_TOKEN, HF_ENDPOINT) or an address."""
    from configs.schema import load_config
    from extractors.core.networks.weights_pull import bytes_needed
    from extractors.core.networks.weights_pull import pull as pull_weights
    from flows.plan import chosen_extractors

    for extractor in chosen_extractors(load_config(config)):
        source = extractor.weights
        if source is None or (source.hub is None and source.url is None):
            typer.echo(f"{extractor.feature}: nothing to fetch")
            continue
        needed = bytes_needed(source, extractor.weight_files)
        if needed is not None:
            typer.echo(f"{extractor.feature}: {source.hub}: {size_of(needed)}")
        pulled = pull_weights(source, extractor.weight_files, _tell)
        files = ", ".join(f"{name} sha256 {digest[:16]}..." for name, digest in pulled["files"].items())
        at = f" at commit {pulled['commit']}" if pulled["commit"] else ""
        typer.echo(f"{extractor.feature}: {pulled['repo']}{at}: {files}")


def _tell(here: int, total: int | None) -> None:
    """One line on a terminal that says how far a download is."""
    if sys.stderr.isatty():
        of = "" if total is None else f" of {size_of(total)}"
        typer.echo(f"\r{size_of(here)}{of}    ", nl=here == total, err=True)

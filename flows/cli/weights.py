"""`merflow weights`: fetches weights once, so that runs never need the network."""

from __future__ import annotations

import typer

from flows.cli.options import ConfigOption


def pull(config: ConfigOption) -> None:
    """Fetch the weights that a configuration names from the Hugging Face hub into its cache."""
    from configs.schema import load_config
    from extractors.core.networks.weights_pull import pull as pull_weights
    from flows.plan import chosen_extractors

    for extractor in chosen_extractors(load_config(config)):
        source = extractor.weights
        if source is None or source.hub is None:
            typer.echo(f"{extractor.feature}: nothing to fetch")
            continue
        pulled = pull_weights(source, extractor.weight_files)
        files = ", ".join(f"{name} sha256 {digest[:16]}..." for name, digest in pulled["files"].items())
        typer.echo(f"{extractor.feature}: {pulled['repo']} at commit {pulled['commit']}: {files}")

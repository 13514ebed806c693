"""`merflow extractors`, `detectors`, `corpora` and `formats`: the plug-ins, and every option of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import console

if TYPE_CHECKING:
    from configs.plugins import Registry

NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them: list its options.")]


def extractors(name: NameArgument = None) -> None:
    """List the extractors, or the options of one."""
    from extractors.core.extractor import EXTRACTORS

    _show(EXTRACTORS, name)


def detectors(name: NameArgument = None) -> None:
    """List the face detectors, or the options of one."""
    from extractors.core.faces.detectors import DETECTORS

    _show(DETECTORS, name)


def corpora(name: NameArgument = None) -> None:
    """List the corpus readers, or all that is known of one: tree, labels, splits, terms, options."""
    from flows.cli.corpus_tables import show_corpus
    from storage.corpora import CORPORA
    from storage.vocabulary.known_corpora import KNOWN

    if name in KNOWN:
        typer.echo(KNOWN[name])
    elif name is not None:
        show_corpus(console(), CORPORA.load(name), CORPORA.options(name))
    else:
        _show(CORPORA, None)
        typer.echo(f"without a reader, but known: {', '.join(KNOWN)}")


def formats(name: NameArgument = None) -> None:
    """List the export formats, or the options of one."""
    from storage.exporters import EXPORTERS

    _show(EXPORTERS, name)


def _show(registry: Registry[Any], name: str | None) -> None:
    from flows.cli.tables import show_options

    if name is not None:
        show_options(console(), registry.summary(name), registry.options(name))
        return
    for plugin in registry.names():
        typer.echo(f"{plugin:16} {registry.summary(plugin)}")

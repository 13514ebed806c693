"""The reference page of the documentation: every plug-in and every option of it, read from the code.

`make docs` writes it to `docs/reference.md`; a test compares the two, so that the page cannot fall behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.plugins import OptionDescription, Registry, Section, describe_options
from configs.schema import Cluster, RunConfig
from configs.sections import Faces
from configs.weights import Weights
from extractors.core.extractor import EXTRACTORS
from extractors.core.faces.detectors import DETECTORS
from storage.corpora import CORPORA
from storage.errors import REASONS
from storage.exporters import EXPORTERS
from storage.vocabulary.known_corpora import KNOWN

HEAD = """# Reference

Made from the code by `make docs`; do not edit. The same comes from `merflow extractors NAME`, `detectors NAME`,
`corpora NAME` and `formats NAME`.
"""


def reference_page() -> str:
    """The page as Markdown."""
    parts = [HEAD, *_kind("Extractors", EXTRACTORS), *_detectors(), *_corpora()]
    parts += [*_kind("Export formats", EXPORTERS), *_configuration(), *_reasons()]
    return "\n".join(parts).rstrip() + "\n"


def _kind(title: str, registry: Registry[Any]) -> Iterator[str]:
    yield f"## {title}\n"
    for name in registry.names():
        yield f"### `{name}`\n\n{registry.summary(name)}\n"
        licence = registry.load(name).__dict__.get("licence")
        if licence:
            yield f"Licence: {licence}\n"
        yield _table(registry.options(name))


def _corpora() -> Iterator[str]:
    yield "## Corpora\n"
    for name in CORPORA.names():
        reader = CORPORA.load(name)
        text = (sys.modules[reader.__module__].__doc__ or "").strip()
        yield f"### `{name}`\n\n{text}\n"
        facts = [f"- {title}: {said}" for title, said in reader.facts().items()]
        if facts:
            yield "\n".join(facts) + "\n"
        yield _table(CORPORA.options(name))
    yield "### Known, without a reader\n"
    yield "\n".join(f"- `{name}`: {said}" for name, said in KNOWN.items()) + "\n"


def _detectors() -> Iterator[str]:
    yield "## Face detectors\n\nChosen with `faces: {detector: NAME}`; the options are those of `faces:`.\n"
    for name in DETECTORS.names():
        yield f"- `{name}`: {DETECTORS.summary(name)}"
    yield ""


def _configuration() -> Iterator[str]:
    yield "## Run configuration\n"
    sections: dict[str, type[Section]] = {
        "": RunConfig,
        "faces": Faces,
        "cluster": Cluster,
        "weights (of an extractor or detector)": Weights,
    }
    for title, section in sections.items():
        yield f"### `{title.split(' ')[0]}:`{title.removeprefix(title.split(' ')[0])}\n" if title else ""
        yield _table(describe_options(section))


def _reasons() -> Iterator[str]:
    yield "## Reasons\n\nWhy a clip has no values for a feature.\n"
    yield "| reason | meaning | can trying again help | what to do |\n|---|---|---|---|"
    for name, reason in REASONS.items():
        yield f"| `{name}` | {reason.meaning} | {'yes' if reason.can_retry else 'no'} | {reason.remedy} |"


def _table(options: list[OptionDescription]) -> str:
    if not options:
        return "No options.\n"
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for option in options:
        cells = [f"`{option.name}`", option.type, option.default, option.meaning]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8")

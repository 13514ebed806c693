"""Writes a report: a folder of pages that share one copy of the scripts and open from disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import RunError
from flows.report.charts import charts_of
from flows.report.clip_page import Setting, write_clip_page
from flows.report.facts import Facts, gather
from flows.status import of_clips
from storage.atomic import publish
from storage.choice import chosen_ids
from storage.store.states import State
from storage.store.store import FeatureStore
from storage.wording import counted, shortened

if TYPE_CHECKING:
    import jinja2

ASSETS, CLIPS = "assets", "clips"
_PACKAGE = "flows.report.templates"
_RUNS = 50


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows of single clips.

    Attributes:
        clips: Clips that get a page: a file with one id a line, or a glob; the flagged and failed ones if None.
        pages: Most pages of flagged and failed clips.
        frames: Whether pages show frames and play the clip: people can be recognised then.
    """

    clips: str | None = None
    pages: int = 50
    frames: bool = False


def environment() -> jinja2.Environment:
    """The pages' templates; all text is escaped."""
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: files(_PACKAGE).joinpath(name).read_text(encoding="utf-8"))
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.filters["code"] = _with_code
    return made


def _with_code(text: str) -> str:
    """HTML of a text, what stands in backticks as code."""
    import markupsafe

    return markupsafe.Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(markupsafe.escape(text))))  # noqa: S704


def write_index(folder: Path, facts: Facts, pages: Sequence[str], remark: str = "") -> None:
    """Write the first page and what all pages share.

    Args:
        folder: Folder of the report, which exists.
        facts: What the page says.
        pages: Ids of clips that have a page.
        remark: What is to be said about these.
    """
    assets = folder / ASSETS
    assets.mkdir()
    for name, text in _scripts():
        (assets / name).write_text(text, encoding="utf-8")
    held = {"columns": ["clip", "split", "label", "speaker", "seconds", "state", "why", "flags"]}
    table = json.dumps(held | {"rows": list(_clip_rows(facts))}, ensure_ascii=False)
    ids = json.dumps(list(pages))
    script = f"window.merflowClips = {table};\nwindow.merflowClips.pages = new Set({ids});\n"
    (assets / "clips.js").write_text(script, encoding="utf-8")
    charts = list(charts_of(facts))
    shared = [(kind, name, ", ".join(splits)) for kind, found in facts.shared.items() for name, splits in found.items()]
    sections = [("totals", "Totals"), ("failures", "Failures"), ("features", "Features")]
    sections += [(chart.key, chart.title) for chart in charts]
    sections += [("shared", "In several splits")] if shared else []
    sections += [("flags", "Flags"), ("clips", "Clips"), ("runs", "Runs")]
    counts = asdict(facts.status.pairs)
    planned = max(counts.pop("planned"), 1)
    clips = asdict(facts.status.clips)
    text = (
        environment()
        .get_template("index.html")
        .render(
            facts=facts,
            charts=charts,
            sections=sections,
            totals=[(name, n, f"{n / planned:.1%}") for name, n in counts.items() if n or name in {"stored", "failed"}],
            clip_totals=[(name, n) for name, n in clips.items() if n and name != "planned"],
            notes=list(_notes(facts)),
            features=list(_feature_rows(facts)),
            shared=shared,
            pages=pages,
            pages_remark=remark,
            no_flags=_without_flags(facts),
            runs=[_run_row(run) for run in reversed(facts.runs[-_RUNS:])],
        )
    )
    (folder / "index.html").write_text(text, encoding="utf-8")


def _scripts() -> Iterator[tuple[str, str]]:
    """Names and texts of what all pages share."""
    import itables
    import plotly.offline

    yield "plotly.min.js", plotly.offline.get_plotlyjs()
    bundle = files(itables).joinpath("html")
    yield "tables.js", f"window.merflowTables = {json.dumps(bundle.joinpath('dt_bundle.js').read_text('utf-8'))};\n"
    yield "tables.css", bundle.joinpath("dt_bundle.css").read_text("utf-8")
    for name in ("report.css", "report.js", "clip.js"):
        yield name, files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _clip_rows(facts: Facts) -> Iterator[list[Any]]:
    why: dict[str, dict[str, None]] = {}
    for failure in facts.status.failures:
        why.setdefault(failure.clip_id, {})[failure.reason] = None
    states = [State(state).name.lower() for state in of_clips(facts.states)]
    for i, clip_id in enumerate(facts.ids):
        reasons, flags = ", ".join(why.get(clip_id, ())), ", ".join(facts.flags[i])
        length = float(facts.seconds[i])
        seconds = None if np.isnan(length) else round(length, 3)
        known = (facts.splits[i], facts.labels[i], facts.speakers[i], seconds)
        yield [clip_id, *known, states[i], reasons, flags]


def _feature_rows(facts: Facts) -> Iterator[dict[str, Any]]:
    for name, spec in facts.specs.items():
        found = facts.lengths[name]
        rows = found.rows.sum()
        valid = float(np.nansum(found.valid * found.rows) / rows) if rows else float("nan")
        weights = {key: spec.weights[key] for key in ("repo", "revision", "file", "sha256") if key in spec.weights}
        yield {
            "name": name,
            "synthetic": spec.synthetic,
            "width": len(spec.columns),
            "level": spec.level,
            "stored": int((found.rows > 0).sum()),
            "valid": "" if np.isnan(valid) else f"{valid:.1%}",
            "source": spec.source,
            "weights": ", ".join(str(value)[:40] for value in weights.values()),
            "licence": facts.licences[name],
            "recipe": shortened(dict(spec.recipe), 160),
            "digest": spec.digest,
        }


def _notes(facts: Facts) -> Iterator[str]:
    yield from (f"stale: {line}" for line in facts.status.stale)
    for name, why in facts.status.mixed.items():
        yield f"{name} was made with several versions: {why}"
    for name, why in facts.status.unreadable.items():
        yield f"{name} cannot be read ({why}); what it holds counts as missing"
    if facts.disagreeing:
        clip, name, off = facts.disagreeing[0]
        number = counted(len({clip for clip, _, _ in facts.disagreeing}), "clip")
        yield f"{number}: a feature ends elsewhere than the clip, such as {name} of {clip}, by {off:+.2f} s"
    if missing := facts.status.pairs.missing:
        yield f"{counted(missing, 'clip feature')} missing: the same merflow run again computes them"
    for run in facts.runs[-1:]:
        yield from run.get("blamed", ())


def _without_flags(facts: Facts) -> str:
    kinds = {spec.extractor for spec in facts.specs.values()}
    absent = [name for name in ("quality", "audio_quality") if name not in kinds]
    return f"Not looked for: the store has no {' and no '.join(absent)}." if absent else "None."


def _run_row(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": run.get("run", ""),
        "schedule": run.get("schedule") or "",
        "state": run.get("state", ""),
        "started": run.get("started", ""),
        "finished": run.get("finished", ""),
        "outcomes": ", ".join(f"{number} {name}" for name, number in run.get("outcomes", {}).items() if number),
        "workers": len({shard.get("worker") for shard in run.get("shards", ())}) or "",
        "host": (run.get("owner") or {}).get("host", ""),
    }


def write_report(store: FeatureStore, destination: Path, options: ReportOptions = ReportOptions()) -> list[str]:
    """Write a report, whole or not at all; one that is there is replaced.

    Args:
        store: The store.
        destination: Folder to make.
        options: Which clips get a page, and what is on it.

    Returns:
        Lines that tell a person what was written.

    Raises:
        RunError: If the destination is something else, or a clip is named that there is not.
        StoreError: If nothing was run into the store yet.
    """
    if destination.exists() and not (destination / ASSETS / "report.css").is_file():
        raise RunError(f"{destination}: exists already and is no report; choose another --out")
    facts = gather(store)
    ids, remark = _with_pages(facts, options)
    chosen, flags = set(ids), dict(zip(facts.ids, facts.flags, strict=True))
    with publish(destination) as temporary:
        temporary.mkdir()
        write_index(temporary, facts, ids, remark)
        folder = temporary / CLIPS
        folder.mkdir()
        setting = Setting(folder, environment(), facts.name, facts.corpus, facts.terms, options.frames)
        for clip in store.clips():
            if clip.id in chosen:
                write_clip_page(store, clip, flags[clip.id], setting)
    return [f"{counted(len(facts.ids), 'clip')}, {counted(len(ids), 'page')} of clips{remark}"]


def _with_pages(facts: Facts, options: ReportOptions) -> tuple[list[str], str]:
    """Clips with a page of their own: those asked for, else the flagged and failed ones, as many as are wanted."""
    if options.clips is not None:
        return chosen_ids(facts.ids, options.clips), ""
    failed = {failure.clip_id for failure in facts.status.failures if failure.state == "failed"}
    wanted = [clip_id for clip_id, flags in zip(facts.ids, facts.flags, strict=True) if flags or clip_id in failed]
    if not wanted and len(facts.ids) <= options.pages:
        return facts.ids, ""
    left = len(wanted) - options.pages
    remark = f", of {len(wanted)} flagged or failed ones (--clips names others, --pages N takes more)"
    return wanted[: options.pages], remark if left > 0 else ""

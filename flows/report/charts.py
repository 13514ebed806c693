"""Charts of a report's first page, as plotly's own JSON; all counting is done here, so that pages stay small."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flows.report.facts import Facts
from storage.store.states import State

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = {"stored": "#2a9d63", "failed": "#c8373a", "skipped": "#9aa3ad", "stale": "#d98e04", "missing": "#d9dde2"}
_BINS, _MOST_LABELS, _MOST_WORKERS = 40, 30, 40
_FONT = {"family": "system-ui, sans-serif", "size": 12}


class Chart(NamedTuple):
    """A chart of a page.

    Attributes:
        key: Id of its element.
        title: What it shows.
        json: Plotly's data and layout.
        height: Pixels.
    """

    key: str
    title: str
    json: str
    height: int


def charts_of(facts: Facts) -> Iterator[Chart]:
    """The charts there is something to show of."""
    if facts.planned:
        yield _coverage(facts)
    if any(len(found.rows) and found.rows.any() for found in facts.lengths.values()):
        yield _lengths(facts)
    if facts.disagreeing:
        yield _agreement(facts)
    if len(set(facts.labels)) > 1 or len(set(facts.splits)) > 1:
        yield _balance(facts)
    if any(run.get("seconds") for run in facts.runs):
        yield _stages(facts)
    if any(shard.get("finished") for run in facts.runs for shard in run.get("shards", ())):
        yield _workers(facts)


def as_json(figure: go.Figure, height: int) -> str:
    """A figure in the look of merflow's pages, safe inside a script element.

    Args:
        figure: The figure.
        height: Pixels.
    """
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 30, "b": 45},
        font=_FONT,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    text: str = figure.to_json()
    return text.replace("</", "<\\/")


def _coverage(facts: Facts) -> Chart:
    import plotly.graph_objects as go

    figure = go.Figure()
    for state in (State.STORED, State.SKIPPED, State.STALE, State.FAILED, State.MISSING):
        counts = (facts.states == state).sum(axis=0)
        if counts.any():
            name = state.name.lower()
            figure.add_bar(x=counts, y=facts.planned, name=name, orientation="h", marker_color=COLOURS[name])
    figure.update_layout(barmode="stack", xaxis_title="clips", yaxis={"autorange": "reversed", "automargin": True})
    height = 110 + 26 * len(facts.planned)
    return Chart("coverage", "Clips by feature", as_json(figure, height), height)


def _lengths(facts: Facts) -> Chart:
    from plotly.subplots import make_subplots

    shown = {
        name: found.rows[found.rows > 0]
        for name, found in facts.lengths.items()
        if found.rows.any() and facts.specs[name].level == "frame"
    }
    names = list(shown)
    columns = 3
    rows = max(-(-len(names) // columns), 1)
    hops = [facts.specs[name].hop for name in names]
    titles = [f"{name} ({hop * 1000:g} ms)" if hop else name for name, hop in zip(names, hops, strict=True)]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.32 / rows)
    for number, (name, values) in enumerate(shown.items()):
        counts, edges = np.histogram(values, bins=min(_BINS, max(len(np.unique(values)), 1)))
        place = {"row": number // columns + 1, "col": number % columns + 1}
        middles, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        figure.add_bar(x=middles, y=counts, width=width, name=name, marker_color="#3b6ea8", showlegend=False, **place)
        figure.update_xaxes(title_text="rows" if number // columns == rows - 1 else None, **place)
    height = 60 + 210 * rows
    return Chart("lengths", "Rows of each clip", as_json(figure, height), height)


def _agreement(facts: Facts) -> Chart:
    import plotly.graph_objects as go

    figure = go.Figure()
    by_feature: dict[str, list[float]] = defaultdict(list)
    for _, name, off in facts.disagreeing:
        by_feature[name].append(off)
    edges = np.linspace(*_limits([off for offs in by_feature.values() for off in offs]), _BINS + 1)
    for name, offs in by_feature.items():
        counts, _ = np.histogram(offs, bins=edges)
        figure.add_bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), name=name)
    figure.update_layout(barmode="stack", xaxis_title="seconds by which the feature ends after its clip")
    return Chart("agreement", "Features that end elsewhere than their clip", as_json(figure, 300), 300)


def _limits(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low - 0.5, high + 0.5) if high - low < 1e-9 else (low, high)


def _balance(facts: Facts) -> Chart:
    import plotly.graph_objects as go

    usual = [label for label, _ in Counter(facts.labels).most_common(_MOST_LABELS)]
    rest = len(set(facts.labels)) - len(usual)
    figure = go.Figure()
    for split in dict.fromkeys(facts.splits):
        counts = Counter(
            label for label, own in zip(facts.labels, facts.splits, strict=True) if own == split and label in usual
        )
        figure.add_bar(x=usual, y=[counts[label] for label in usual], name=split)
    more = f", and {rest} rarer labels" if rest else ""
    figure.update_layout(barmode="group", yaxis_title="clips", xaxis={"type": "category", "automargin": True})
    return Chart("balance", f"Labels by split{more}", as_json(figure, 340), 340)


def _stages(facts: Facts) -> Chart:
    import plotly.graph_objects as go

    seconds: Counter[str] = Counter()
    for run in facts.runs:
        seconds.update({stage: value for stage, value in run.get("seconds", {}).items() if "." not in stage})
    media = sum(run.get("media_seconds", 0.0) for run in facts.runs if run.get("seconds"))
    stages = [stage for stage, _ in seconds.most_common()]
    texts = [f"{media / seconds[s]:.1f} s of media per second" if media and seconds[s] else "" for s in stages]
    figure = go.Figure(
        go.Bar(x=[seconds[s] for s in stages], y=stages, orientation="h", text=texts, marker_color="#3b6ea8")
    )
    figure.update_layout(
        xaxis_title="seconds of work, summed over workers and runs",
        yaxis={"autorange": "reversed", "automargin": True},
    )
    height = 90 + 26 * len(stages)
    return Chart("stages", "Where the time went", as_json(figure, height), height)


def _workers(facts: Facts) -> Chart:
    import plotly.graph_objects as go

    done: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for run in facts.runs:
        for shard in run.get("shards", ()):
            if shard.get("finished") and shard.get("seconds"):
                rate = shard["clips"] / shard["seconds"]
                done[str(shard["worker"])].append((datetime.fromisoformat(shard["finished"]), rate))
    figure = go.Figure()
    for worker, points in sorted(done.items())[:_MOST_WORKERS]:
        points.sort()
        when, rates = [p[0] for p in points], [p[1] for p in points]
        figure.add_scatter(x=when, y=rates, mode="lines+markers", name=worker, line={"shape": "hv"})
    more = f" (the first {_MOST_WORKERS} of {len(done)})" if len(done) > _MOST_WORKERS else ""
    figure.update_layout(yaxis={"title": "clips per second", "rangemode": "tozero"}, xaxis_title="shard finished")
    return Chart("workers", f"Workers over time{more}", as_json(figure, 320), 320)

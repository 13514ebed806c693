"""`merflow init`: a commented configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from configs.errors import ConfigError
from configs.paths import local_path

HEAD = """# A run configuration of merflow. Every key but `extractors` has a default; `merflow extractors NAME` and
# docs/reference.md list all options. Run it with:
#   merflow run --config {name} --corpus {corpus} PATH --store STORE
# and see first what it would do with --dry-run.

"""
OWN = """extractors:
  - {name: gemaps}                     # openSMILE's GeMAPSv01b, 18 columns every 10 ms; feature_set: eGeMAPSv02, ...
  - {name: quality}                    # faces, sharpness, exposure, length: flags per clip
  - {name: audio_quality}              # silence, clipping, loudness, SNR, speech: flags per clip
# Networks need weights: a hub repository (fetched once by `merflow weights pull`), or a folder of your own.
#  - {name: hubert, recipe: merflow, weights: {hub: facebook/hubert-large-ll60k}}
#  - {name: action_units, weights: {hub: py-feat/face_multitask_v2}}
#  - {name: videomae, input: main_face, sampling: uniform16, weights: {local: my_videomae}}
"""
MERTOOLS = """# Encoders of MERTools' baselines, the audio one by its recipe: the last four layers summed.
extractors:
  - {name: hubert, recipe: merbench, weights: {hub: TencentGameMate/chinese-hubert-large}}
  - {name: mae, weights: {hub: facebook/vit-mae-large}}
  - {name: videomae, input: main_face, sampling: uniform16, weights: {hub: MCG-NJU/videomae-large}}
  - {name: gemaps}
"""
MORE = """
faces: {detector: libfacedetection, detect_every: 5, short_side: 360}   # used where an extractor needs faces
cluster:
  engine: auto                         # local, dask, or tcp://scheduler:8786
  workers: null                        # worker processes of dask; one per core by default
no_audio: fail                         # skip: a clip without audio is expected
no_video: fail
no_text: fail
"""


Purpose = Literal["my-corpus", "indomer", "merr", "mertools", "mer2023", "merbench", "mer2024", "mer2025", "mer2026"]


def init(
    purpose: Annotated[Purpose, typer.Option("--for", help="What it is for.")] = "my-corpus",
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("merflow.yaml"),
) -> None:
    """Write a commented configuration to begin with."""
    from configs.schema import load_config, named_configs
    from storage.atomic import publish

    out = local_path(out)
    if out.exists():
        raise ConfigError(f"{out}: exists already; choose another --out, or remove it")
    shipped = named_configs()
    body = shipped[purpose].read_text(encoding="utf-8") if purpose in shipped else None
    corpus = {"indomer": "indomer", "my-corpus": "folder"}.get(purpose, "merr")
    text = HEAD.format(name=out, corpus=corpus) + (body or (MERTOOLS if purpose == "mertools" else OWN)) + MORE
    with publish(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    load_config(out)
    typer.echo(f"wrote {out}; next: merflow run --config {out} --corpus {corpus} PATH --store STORE --dry-run")

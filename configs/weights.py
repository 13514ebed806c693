"""Where weights come from, as a configuration says it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from configs.plugins import Section

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of a weights file in Hugging Face's layout; the first that exists is used, as transformers does."""


class RandomWeights(Section):
    """The true architecture with weights from a seed: for trying things out, never for results.

    Attributes:
        seed: What the weights are drawn from.
        size: `full`, as published; `tiny`, of a few layers; `wide`, as `tiny` and 1024 wide, which Emotion-LLaMA takes.
    """

    seed: int = 0
    size: Literal["tiny", "wide", "full"] = "full"


class Weights(Section):
    """Where an extractor's weights come from: exactly one of `hub`, `local`, `url` and `random`.

    Attributes:
        hub: Hugging Face repository, such as `facebook/hubert-large-ll60k`.
        revision: Commit, tag or branch of `hub`; what it resolved to is recorded in the store.
        local: Folder in Hugging Face's layout, or a single weights file.
        url: Address of a single checkpoint file outside of a hub, `https://...`; needs `sha256` and `format`.
        random: Seeded weights instead of trained ones.
        sha256: What the weights file must hash to; anything else stops the run.
        format: Layout of a `local` or `url` file: `hf`, or a plain checkpoint of MAE's, VideoMAE's or LR-ASD's code.
    """

    hub: str | None = None
    revision: str = "main"
    local: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    random: RandomWeights | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    format: Literal["hf", "mae-pth", "videomae-pth", "lr-asd"] = "hf"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.format != "hf" and self.local is None and self.url is None:
            raise ValueError(f"format {self.format} is for `local` and `url` files")
        if self.url is not None and (self.sha256 is None or self.format == "hf"):
            raise ValueError("url needs sha256, which says what must come, and a format other than hf")
        sources = [k for k in ("hub", "local", "url", "random") if getattr(self, k) is not None]
        if len(sources) != 1:
            raise ValueError(f"expected exactly one of hub, local, url, random; got {', '.join(sources) or 'none'}")
        return self

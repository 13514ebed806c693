"""Validated options of the MERR exporter, and the features that they mean for one store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import field_validator

from configs.errors import RunError
from configs.plugins import CommaList, Flag, Pairs
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.files import file_name
from storage.exporters._shared.labels import Unlabelled
from storage.exporters._shared.selection import frame_feature, spec_of
from storage.exporters.merr.layout import EDITIONS, WIDTH
from storage.records import FeatureSpec
from storage.vocabulary.action_unit_rules import Rule

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

FRAMES = ("first", "middle", "peak")


class MerrOptions(Unlabelled, ExportOptions):
    """Options of the format `merr`.

    Attributes:
        edition: Whose names: merr for Emotion-LLaMA's first_face.py, mer2024 for its mer2024.py (mae_340_23_UTT,
            maeVideo_399_23_UTT, HL_23_UTT; the transcript has sentence_en too).
        mae_feature: Feature of mae_340_UTT.
        videomae_feature: Feature of maeV_399_UTT.
        hubert_feature: Feature of HL-UTT.
        au_feature: Feature with action units, or none; action_units, else openface, else none where not given.
        frames_feature: Feature with a row per frame; the one with action units, else faces, where not given.
        rule: Of the peak and of pseu_emotion.
        emotion: What the annotation holds: the corpus's label, or pseu_emotion.
        labels: What the corpus's own labels are among the nine emotions, such as marah:angry,senang:happy.
        mix_splits: Whether one annotation holds the clips of all splits; each split has its own otherwise.
        text: What becomes of clips without a transcript; blank writes one space.
        missing: What becomes of clips that lack something: error, omit, or zeros for a vector that is not there, as
            Emotion-LLaMA's own demonstration has them.
        annotation: Name of the annotation; with several splits, `_<split>` is added before the suffix.
        ncev: Continuous label, such as valence, of `relative_NCEV.txt` (name, count, emotion, valence), which is then
            written beside the annotation, with several splits one for each; none writes none.
        images: Frames to write: none, or some of first, middle, peak, separated by commas.
    """

    edition: Literal["merr", "mer2024"] = "merr"
    mae_feature: str = "mae"
    videomae_feature: str = "videomae"
    hubert_feature: str = "hubert"
    au_feature: str | None = None
    frames_feature: str | None = None
    rule: Rule = "documented"
    emotion: Literal["label", "pseudo"] = "label"
    labels: Pairs = ()
    mix_splits: Flag = False
    text: Literal["error", "omit", "blank"] = "error"
    missing: Literal["error", "omit", "zeros"] = "error"
    annotation: Annotated[str, file_name(".txt")] = "MERR_coarse_grained.txt"
    ncev: str = "none"
    images: CommaList = ("none",)

    @field_validator("images")
    @classmethod
    def _are_frames(cls, images: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [which for which in images if which not in FRAMES]
        if images != ("none",) and unknown:
            raise ValueError(f"expected none or some of {', '.join(FRAMES)}, got {unknown[0]!r}")
        return images

    @property
    def frames(self) -> tuple[str, ...]:
        """Which frames to write."""
        return () if self.images == ("none",) else self.images


@dataclass(frozen=True, slots=True)
class Sources:
    """What the options mean for one store.

    Attributes:
        slots: Feature of each folder, in the order in which the loader stacks them.
        frames: Feature whose rows count the frames.
        action_units: Feature with action units; None to leave the keys made of them out.
    """

    slots: Mapping[str, str]
    frames: str
    action_units: FeatureSpec | None

    @property
    def features(self) -> list[str]:
        """Every feature the export needs, once."""
        action_units = [self.action_units.name] if self.action_units else []
        return list(dict.fromkeys([*self.slots.values(), *action_units, self.frames]))


def find_sources(store: FeatureStore, options: MerrOptions) -> Sources:
    """Find the features that the options name.

    Args:
        store: Where they are.
        options: The export's options.

    Raises:
        RunError: If the store lacks a feature, or one of the three is not 1024 wide; names the model that is.
    """
    action_units = _action_units(store, options)
    # With one feature of action units in use, its rows are the frames.
    counted = options.frames_feature or (action_units.name if action_units else None)
    slots = {folder: _slot(store, folder, options) for folder in EDITIONS[options.edition]}
    sources = Sources(slots, frame_feature(store, counted).name, action_units)
    if action_units is None and (options.emotion == "pseudo" or "peak" in options.frames):
        raise RunError(
            f"{store.path}: no action units, which emotion=pseudo and images=peak need; name au_feature=NAME"
        )
    return sources


def _slot(store: FeatureStore, folder: str, options: MerrOptions) -> str:
    slot = EDITIONS[options.edition][folder]
    option = f"{slot.key}_feature"
    spec = spec_of(store, getattr(options, option), f"; choose one with {option}=NAME")
    if len(spec.columns) != WIDTH:
        raise RunError(
            f"{folder}: expected {WIDTH} columns, feature {spec.name} has {len(spec.columns)}; "
            f"extract it with {slot.model}"
        )
    return spec.name


def _action_units(store: FeatureStore, options: MerrOptions) -> FeatureSpec | None:
    usual = next((name for name in ("action_units", "openface") if name in store.specs), "none")
    name = usual if options.au_feature is None else options.au_feature
    if name == "none":
        return None
    spec = spec_of(store, name, "; choose one with au_feature=NAME, or none")
    if not {"AU01_r", "AU01_c"} <= set(spec.columns):
        raise RunError(f"feature {name}: expected columns such as AU01_r and AU01_c, got none; --opt au_feature=none")
    return spec

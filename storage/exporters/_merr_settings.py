"""What an export for Emotion-LLaMA is told, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from storage.au_rules import RULES, Rule
from storage.errors import RunError
from storage.exporters._base import choice, spec_of
from storage.exporters._common import MISSING
from storage.exporters._merr_check import SLOTS, WIDTH
from storage.exporters._per_clip import picture_feature
from storage.records import FeatureSpec

if TYPE_CHECKING:
    from storage.store import FeatureStore

OPTIONS = {
    **{f"{slot.key}_feature": f"feature of {folder}; default {slot.key}" for folder, slot in SLOTS.items()},
    "au_feature": "feature with action units, or none; default action_units, else openface, else none",
    "frames_feature": "feature with a row per picture; default the one with action units, else faces",
    "rule": f"of the peak and of pseu_emotion: {' or '.join(RULES)}; default {RULES[0]}",
    "emotion": "what the annotation holds: label (the corpus's) or pseudo (pseu_emotion); default label",
    "labels": "what to do with clips without one of the nine emotions: error or omit; default error",
    "text": "what to do with clips without a transcript: error, omit or blank (one space); default error",
    "missing": MISSING,
    "annotation": "name of the annotation; default MERR_coarse_grained.txt",
    "images": "pictures to write: none, or some of first, middle, peak, separated by commas; default none",
}
PICTURES = ("first", "middle", "peak")


@dataclass(frozen=True, slots=True)
class Settings:
    """The options' meaning for one store; as in `OPTIONS`.

    Attributes:
        slots: Feature of each folder, in the order in which the loader stacks them.
        frames: Feature whose rows count the pictures.
        action_units: Feature with action units; None to leave the keys made of them out.
        rule: Of the peak and of the emotion.
        emotion: `label` or `pseudo`.
        labels: `error` or `omit`.
        text: `error`, `omit` or `blank`.
        missing: `error` or `omit`.
        annotation: File name.
        pictures: Which pictures to write.
    """

    slots: Mapping[str, str]
    frames: str
    action_units: FeatureSpec | None
    rule: Rule
    emotion: str
    labels: str
    text: str
    missing: str
    annotation: str
    pictures: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """Every feature the export needs, once."""
        action_units = [self.action_units.name] if self.action_units else []
        return list(dict.fromkeys([*self.slots.values(), *action_units, self.frames]))


def settings_of(store: FeatureStore, options: Mapping[str, str]) -> Settings:
    """Read the options.

    Raises:
        RunError: If one is wrong, the store lacks a feature, or one of the three is not 1024 wide; names the model
            that is.
    """
    action_units = _action_units(store, options)
    # With one feature of action units in use, its rows are the pictures.
    counted = {"frames_feature": action_units.name} if action_units else {}
    settings = Settings(
        slots={folder: _slot(store, folder, options) for folder in SLOTS},
        frames=picture_feature(store, {**counted, **options}).name,
        action_units=action_units,
        rule=RULES[[str(rule) for rule in RULES].index(choice(options, "rule", RULES))],
        emotion=choice(options, "emotion", ("label", "pseudo")),
        labels=choice(options, "labels", ("error", "omit")),
        text=choice(options, "text", ("error", "omit", "blank")),
        missing=choice(options, "missing", ("error", "omit")),
        annotation=options.get("annotation", "MERR_coarse_grained.txt"),
        pictures=_pictures(options),
    )
    if PurePath(settings.annotation).name != settings.annotation or not settings.annotation.endswith(".txt"):
        raise RunError(f"option annotation: expected a file name that ends in .txt, got {settings.annotation!r}")
    if action_units is None and (settings.emotion == "pseudo" or "peak" in settings.pictures):
        raise RunError(
            f"{store.path}: no action units, which emotion=pseudo and images=peak need; name au_feature=NAME"
        )
    return settings


def _slot(store: FeatureStore, folder: str, options: Mapping[str, str]) -> str:
    slot = SLOTS[folder]
    option = f"{slot.key}_feature"
    spec = spec_of(store, options.get(option, slot.key), f"; choose one with {option}=NAME")
    if len(spec.columns) != WIDTH:
        raise RunError(
            f"{folder}: expected {WIDTH} columns, feature {spec.name} has {len(spec.columns)}; "
            f"extract it with {slot.model}"
        )
    return spec.name


def _action_units(store: FeatureStore, options: Mapping[str, str]) -> FeatureSpec | None:
    usual = next((name for name in ("action_units", "openface") if name in store.specs), "none")
    name = options.get("au_feature", usual)
    if name == "none":
        return None
    spec = spec_of(store, name, "; choose one with au_feature=NAME, or none")
    if not {"AU01_r", "AU01_c"} <= set(spec.columns):
        raise RunError(f"feature {name}: expected columns such as AU01_r and AU01_c, got none; --opt au_feature=none")
    return spec


def _pictures(options: Mapping[str, str]) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(part.strip() for part in options.get("images", "none").split(",")))
    if asked == ("none",):
        return ()
    for which in asked:
        if which not in PICTURES:
            raise RunError(f"option images: expected none or some of {', '.join(PICTURES)}, got {which!r}")
    return asked

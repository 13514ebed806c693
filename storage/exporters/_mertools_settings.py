"""What an export for MERTools is told, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from storage.errors import RunError
from storage.exporters._base import choice, some, spec_of
from storage.exporters._common import DEFAULT_SPLIT, FEATURES, asked_features, by_split, pairs
from storage.exporters._mertools_check import LEVELS, WORDS, prefix_problems
from storage.records import CLIP_ID, FeatureSpec

if TYPE_CHECKING:
    from storage.store import FeatureStore

OPTIONS = {
    "features": FEATURES,
    "names": "folder names, such as hubert:chinese-hubert-large,gemaps:eGeMAPS; default the weights' or set's own",
    "levels": "utt, fra or both, separated by a comma; default utt,fra",
    "emo": "what `emo` holds: word (one of the six of MER2023), index (place in `classes`) or zero; default word",
    "classes": "labels in order, for emo=index; default the six of MER2023",
    "val": "continuous label that `val` holds, -10 where a clip has none; default valence",
    "labels": "clips without a label that fits: error, omit (from the npz) or none (no npz); default error",
    "labels_file": "name of the label npz; default label.npz",
    "splits": "which corpus each split is, such as val:test1; default by their names, whole_corpus without any",
    "default_split": DEFAULT_SPLIT,
    "missing": "clips that lack a feature: error, omit or zeros (MERTools' own sign of failure); default error",
    "reader": "mer2023 refuses names that its loader confuses; later (default) only tells of them",
    "faces": "true to write face crops from the media and the stored boxes; default false",
    "faces_feature": "feature with the face boxes; default faces",
}
# Folders that MERTools' own scripts spell with an underscore, beside openSMILE's sets.
_UNDERSCORE = ("vggish", "emonet", "manet", "imagenet", "msceleb", "resnet50face", "senet50face")
_CORPORA = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
_CORPUS = re.compile(r"train|val|test\d*|whole")
BOXES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class Settings:
    """The options' meaning for one store; as in `OPTIONS`.

    Attributes:
        folders: Folder name without `UTT` or `FRA` of each feature, such as `chinese-hubert-large-`.
        levels: `UTT`, `FRA`.
        emo: `word`, `index` or `zero`.
        classes: Labels in order.
        valence: Name of a continuous label.
        labels: `error`, `omit` or `none`.
        labels_file: File name.
        missing: `error`, `omit` or `zeros`.
        faces: Feature with face boxes; None for no crops.
        remarks: Lines for a person.
    """

    folders: Mapping[str, str]
    levels: tuple[str, ...]
    emo: str
    classes: tuple[str, ...]
    valence: str
    labels: str
    labels_file: str
    missing: str
    faces: FeatureSpec | None
    remarks: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """Every feature the export needs, once."""
        return list(dict.fromkeys([*self.folders, *([self.faces.name] if self.faces else [])]))


def settings_of(store: FeatureStore, options: Mapping[str, str]) -> Settings:
    """Read the options.

    Raises:
        RunError: If one is wrong or the store lacks a feature.
    """
    settings = Settings(
        folders=_folders(store, options),
        levels=_levels(options),
        emo=choice(options, "emo", ("word", "index", "zero")),
        classes=_words(options, "classes") or WORDS,
        valence=options.get("val", "valence"),
        labels=choice(options, "labels", ("error", "omit", "none")),
        labels_file=options.get("labels_file", "label.npz"),
        missing=choice(options, "missing", ("error", "omit", "zeros")),
        faces=_faces(store, options) if choice(options, "faces", ("false", "true")) == "true" else None,
        remarks=_name_remarks(store, options),
    )
    if PurePath(settings.labels_file).name != settings.labels_file or not settings.labels_file.endswith(".npz"):
        raise RunError(f"option labels_file: expected a file name that ends in .npz, got {settings.labels_file!r}")
    single = [name for name in settings.folders if store.specs[name].level == "utterance"]
    if single and "UTT" not in settings.levels:
        raise RunError(f"feature {single[0]}: one row per clip, so no FRA; --opt levels=utt,fra writes its UTT")
    if settings.emo == "word" and settings.classes != WORDS:
        raise RunError(f"option classes: emo=word has the words {', '.join(WORDS)}; other classes need emo=index")
    return settings


def _words(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in options.get(name, "").split(",") if (word := part.strip())))


def _levels(options: Mapping[str, str]) -> tuple[str, ...]:
    asked = _words(options, "levels") or tuple(level.lower() for level in LEVELS)
    for level in asked:
        if level.upper() not in LEVELS:
            raise RunError(f"option levels: expected utt, fra or both, got {level!r}")
    return tuple(level for level in LEVELS if level.lower() in asked)


def _folders(store: FeatureStore, options: Mapping[str, str]) -> dict[str, str]:
    given = dict(pairs(options, "names"))
    features = asked_features(store, options)
    unknown = [name for name in given if name not in features]
    if unknown:
        raise RunError(f"option names: {unknown[0]!r} is none of the exported features: {', '.join(features)}")
    folders = {name: _folder(store.specs[name], given.get(name)) for name in features}
    for name, folder in folders.items():
        if len(store.specs[name].columns) < 2:
            raise RunError(f"feature {name}: MERTools takes the rows of a single column for columns; leave it out")
        twin = next(other for other, its in folders.items() if its == folder)
        if twin != name:
            raise RunError(f"features {twin} and {name}: both called {folder[:-1]}; --opt names={name}:NAME,...")
    return folders


def _folder(spec: FeatureSpec, given: str | None) -> str:
    hub = str(spec.weights.get("repo", "")).rpartition("/")[2]
    name = given or hub or str(spec.recipe.get("feature_set", "")) or spec.name
    if not CLIP_ID.fullmatch(name):
        raise RunError(f"feature {spec.name}: {name!r} cannot be the name of a folder")
    return name + ("_" if spec.extractor == "gemaps" or name in _UNDERSCORE else "-")


def _faces(store: FeatureStore, options: Mapping[str, str]) -> FeatureSpec:
    spec = spec_of(store, options.get("faces_feature", "faces"), "; choose one with faces_feature=NAME")
    if not set(BOXES) <= set(spec.columns):
        raise RunError(f"feature {spec.name}: expected the columns {', '.join(BOXES)}, got {some(spec.columns)}")
    return spec


def _name_remarks(store: FeatureStore, options: Mapping[str, str]) -> tuple[str, ...]:
    confused = list(prefix_problems(clip.id for clip in store.clips()))
    if confused and choice(options, "reader", ("later", "mer2023")) == "mer2023":
        raise RunError(f"{confused[0]} (one of {len(confused)}); MER2023's loader stops there, later ones do not")
    return (f"note: MER2023's loader (not later ones) stops at {confused[0]}",) if confused else ()


def corpora_of(store: FeatureStore, options: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids of each corpus of the label npz, such as `train_corpus`, in manifest order.

    Raises:
        RunError: If it is not clear which corpus a split is.
    """
    given = dict(pairs(options, "splits"))
    if "default_split" not in options and all(clip.split is None for clip in store.clips()):
        return {"whole_corpus": [clip.id for clip in store.clips()]}
    corpora: dict[str, list[str]] = {}
    for split, ids in by_split(store, options).items():
        corpus = given.get(split, _CORPORA.get(split, split))
        if not _CORPUS.fullmatch(corpus):
            raise RunError(f"split {split!r}: train, val, test or test1? --opt splits={split}:test1,... says so")
        corpora.setdefault(f"{corpus}_corpus", []).extend(ids)
    return _in_order(corpora)


def _in_order(corpora: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Train, val, test, test1, ...: the order in which MERTools' own files have them."""
    places = {name: i for i, name in enumerate(("train_corpus", "val_corpus"))}
    return {name: list(corpora[name]) for name in sorted(corpora, key=lambda name: (places.get(name, 9), name))}

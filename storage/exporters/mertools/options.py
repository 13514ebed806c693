"""Validated options of the MERTools exporter, and what they mean for one store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import field_validator, model_validator

from configs.errors import RunError
from configs.plugins import CommaList, Flag, Pairs
from storage.clip import CLIP_ID
from storage.exporters._shared.arrays import Precision
from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.files import file_name
from storage.exporters._shared.labels import Unlabelled
from storage.exporters._shared.selection import (
    DefaultSplit,
    SelectedFeatures,
    abbreviate,
    by_split,
    selected_features,
    spec_of,
)
from storage.exporters.mertools.layout import CLASS_PRESETS, EDITIONS, LEVELS, MERGED, NO_LABELS, TRANSCRIPT, WORDS
from storage.exporters.mertools.validate import prefix_problems
from storage.records import FeatureSpec
from storage.vocabulary.face_columns import BOX

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

# Folders that MERTools' own scripts spell with an underscore, beside openSMILE's sets.
_UNDERSCORE = ("vggish", "emonet", "manet", "imagenet", "msceleb", "resnet50face", "senet50face")
_CORPORA = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
_CORPUS = re.compile(r"train|val|test\d*|whole")


class MertoolsOptions(Unlabelled, DefaultSplit, SelectedFeatures, Precision, Columns, Trim, ExportOptions):
    """Options of the format `mertools`.

    Attributes:
        names: Folder names, such as hubert:chinese-hubert-large,gemaps:eGeMAPS; the weights' or set's own by default.
        levels: utt, fra or both, separated by a comma.
        emo: What `emo` holds: one of the six words of MER2023, the place in `classes`, or zero.
        classes: Labels in order, for emo=index; the six of MER2023 by default. Or a usual choice, which is exported by
            index: iemocap-4 (excited counts as happy), iemocap-6, meld-7.
        val: Continuous label that `val` holds; -10, as in MERTools' own files, where no clip has one.
        labels: What the corpus's own labels are among `classes`, such as marah:angry,senang:happy.
        edition: Year whose configuration is to open it: mer2023, mer2024 or mer2026; names the label npz and the
            transcripts.
        labels_file: Name of the label npz, or none for no npz; as the edition's where not given.
        splits: Which corpus each split is, such as val:test1; by their names, whole_corpus without any, by default.
        missing: Clips that lack a feature: an error, left out, or zeros (MERTools' own sign of failure).
        reader: mer2023 refuses names that its loader confuses; later only tells of them.
        faces: Whether to write face crops from the media and the stored boxes.
        faces_feature: Feature with the face boxes.
    """

    names: Pairs = ()
    levels: CommaList = ("utt", "fra")
    emo: Literal["word", "index", "zero"] = "word"
    classes: CommaList = WORDS
    val: str = "valence"
    labels: Pairs = ()
    edition: Literal["none", "mer2023", "mer2024", "mer2026"] = "none"
    labels_file: Annotated[str, file_name(".npz", NO_LABELS)] = "label.npz"
    splits: Pairs = ()
    missing: Literal["error", "omit", "zeros"] = "error"
    reader: Literal["later", "mer2023"] = "later"
    faces: Flag = False
    faces_feature: str = "faces"

    @field_validator("levels")
    @classmethod
    def _are_levels(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [level for level in levels if level.upper() not in LEVELS]
        if unknown:
            raise ValueError(f"expected utt, fra or both, got {unknown[0]!r}")
        return levels

    @model_validator(mode="before")
    @classmethod
    def _presets(cls, stated: dict[str, Any]) -> dict[str, Any]:
        """What a usual choice of classes, and an edition, stand for; options that are given count."""
        preset, edition = stated.get("classes"), EDITIONS.get(stated.get("edition", ""))
        implied: dict[str, Any] = {} if edition is None else {"labels_file": edition[0]}
        if isinstance(preset, str) and preset in CLASS_PRESETS:
            labels = ",".join(part for part in (MERGED.get(preset), stated.get("labels")) if part)
            stated = {**stated, "classes": ",".join(CLASS_PRESETS[preset]), "labels": labels}
            implied |= {"emo": "index"}
        return {**implied, **stated}

    @field_validator("classes")
    @classmethod
    def _are_classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return classes or WORDS

    @property
    def transcript(self) -> str:
        """Name of the file of transcripts."""
        return EDITIONS[self.edition][1] if self.edition in EDITIONS else TRANSCRIPT

    @property
    def written_levels(self) -> tuple[str, ...]:
        """`UTT` and `FRA`, those that are asked for, in this order; both where none is."""
        return tuple(level for level in LEVELS if level.lower() in self.levels) or LEVELS

    @model_validator(mode="after")
    def _words_are_fixed(self) -> Self:
        if self.emo == "word" and self.classes != WORDS:
            expected = f"emo=word has the words {', '.join(WORDS)}"
            raise ValueError(f"option classes: {expected}; other classes need emo=index")
        return self


@dataclass(frozen=True, slots=True)
class Sources:
    """What the options mean for one store.

    Attributes:
        folders: Folder name without `UTT` or `FRA` of each feature, such as `chinese-hubert-large-`.
        faces: Feature with face boxes; None for no crops.
        remarks: Lines for a person.
    """

    folders: Mapping[str, str]
    faces: FeatureSpec | None
    remarks: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """Every feature the export needs, once."""
        return list(dict.fromkeys([*self.folders, *([self.faces.name] if self.faces else [])]))


def find_sources(store: FeatureStore, options: MertoolsOptions) -> Sources:
    """Find the features that the options name, and the folders that they go to.

    Args:
        store: Where they are.
        options: The export's options.

    Raises:
        RunError: If the store lacks a feature, or an option does not fit it.
    """
    faces = _faces(store, options) if options.faces else None
    sources = Sources(_folders(store, options), faces, _name_remarks(store, options))
    single = [name for name in sources.folders if store.specs[name].level == "utterance"]
    if single and "UTT" not in options.written_levels:
        raise RunError(f"feature {single[0]}: one row per clip, so no FRA; --opt levels=utt,fra writes its UTT")
    return sources


def _folders(store: FeatureStore, options: MertoolsOptions) -> dict[str, str]:
    names = dict(options.names)
    features = selected_features(store, options)
    unknown = [name for name in names if name not in features]
    if unknown:
        raise RunError(f"option names: {unknown[0]!r} is not one of the exported features: {', '.join(features)}")
    folders = {name: _folder(store.specs[name], names.get(name)) for name in features}
    for name, folder in folders.items():
        if len(store.specs[name].columns) < 2:
            raise RunError(f"feature {name}: MERTools takes the rows of a single column for columns; leave it out")
        twin = next(other for other, its in folders.items() if its == folder)
        if twin != name:
            raise RunError(f"features {twin} and {name}: both called {folder[:-1]}; --opt names={name}:NAME,...")
    return folders


def _folder(spec: FeatureSpec, stated: str | None) -> str:
    hub = str(spec.weights.get("repo", "")).rpartition("/")[2]
    hub = hub.partition(".")[0] if spec.source.endswith("(timm)") else hub  # as the scripts cut it
    name = stated or hub or str(spec.recipe.get("feature_set", "")) or spec.name
    if not CLIP_ID.fullmatch(name):
        raise RunError(f"feature {spec.name}: {name!r} cannot be the name of a folder")
    return name + ("_" if spec.extractor in {"gemaps", "opensmile"} or name in _UNDERSCORE else "-")


def _faces(store: FeatureStore, options: MertoolsOptions) -> FeatureSpec:
    spec = spec_of(store, options.faces_feature, "; choose one with faces_feature=NAME")
    if not set(BOX) <= set(spec.columns):
        raise RunError(f"feature {spec.name}: expected the columns {', '.join(BOX)}, got {abbreviate(spec.columns)}")
    return spec


def _name_remarks(store: FeatureStore, options: MertoolsOptions) -> tuple[str, ...]:
    confused = list(prefix_problems(clip.id for clip in store.clips()))
    if confused and options.reader == "mer2023":
        raise RunError(f"{confused[0]} (one of {len(confused)}); MER2023's loader stops there, later ones do not")
    return (f"note: MER2023's loader (not later ones) stops at {confused[0]}",) if confused else ()


def corpora_of(store: FeatureStore, options: MertoolsOptions) -> dict[str, list[str]]:
    """Ids of each corpus of the label npz, such as `train_corpus`, in manifest order.

    Args:
        store: Where the clips are.
        options: The export's options.

    Raises:
        RunError: If it is not clear which corpus a split is.
    """
    stated = dict(options.splits)
    if options.default_split is None and all(clip.split is None for clip in store.clips()):
        return {"whole_corpus": [clip.id for clip in store.clips()]}
    corpora: dict[str, list[str]] = {}
    for split, ids in by_split(store, options.default_split).items():
        corpus = stated.get(split, _CORPORA.get(split, split))
        if not _CORPUS.fullmatch(corpus):
            raise RunError(f"split {split!r}: train, val, test or test1? --opt splits={split}:test1,... says so")
        corpora.setdefault(f"{corpus}_corpus", []).extend(ids)
    return _in_order(corpora)


def _in_order(corpora: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Train, val, test, test1, ...: the order in which MERTools' own files have them."""
    places = {name: i for i, name in enumerate(("train_corpus", "val_corpus"))}
    return {name: list(corpora[name]) for name in sorted(corpora, key=lambda name: (places.get(name, 9), name))}

"""What Emotion-LLaMA's tree holds about each clip."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.clip import Clip
from storage.errors import StoreError
from storage.exporters._shared.arrays import pooled
from storage.exporters._shared.files import write_npy
from storage.exporters._shared.labels import UnlabelledRule, check_label_map, word_of
from storage.exporters._shared.validation import NOT_TEXT
from storage.exporters.merr.layout import LABELS, WIDTH
from storage.exporters.merr.options import MerrOptions, Sources
from storage.records import Features, FeatureSpec
from storage.vocabulary.action_unit_rules import MERR_LABELS, Rule, clip_emotion, frequent_aus, peak_aus, peak_frame

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


class _MissingError(Exception):
    """A clip lacks something; `option` says what to do then."""

    def __init__(self, what: str, option: str, message: str) -> None:
        super().__init__(message)
        self.what, self.option = what, option


class Tree:
    """Writes the vectors of one clip at a time and keeps its small entries for the files about all clips.

    Args:
        store: Where the features are.
        folder: The tree's folder.
        options: The export's options.
        sources: The features that they mean.

    Attributes:
        lines: Lines of the annotations, without their ends, by split.
        valences: The same with a valence, of the clips that have one, if asked for.
        entries: The coarse JSON's.
        sentences: Rows of the transcripts.
        without: Ids of clips that were left out, by what they lack.
        partial: Ids of clips whose entry lacks a key, by the key.
        zeros: Ids of clips with zeros for a vector, by its folder.
    """

    def __init__(self, store: FeatureStore, folder: Path, options: MerrOptions, sources: Sources) -> None:
        self._store, self._folder, self._options, self._sources = store, folder, options, sources
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.valences: dict[str, list[str]] = defaultdict(list)
        self._rule = UnlabelledRule(options)
        self._map = check_label_map(options.labels, LABELS)
        self.entries: dict[str, dict[str, Any]] = {}
        self.sentences: list[tuple[str, str]] = []
        self.without: dict[str, list[str]] = defaultdict(list)
        self.partial: dict[str, list[str]] = defaultdict(list)
        self.zeros: dict[str, list[str]] = defaultdict(list)

    def add(self, clip: Clip) -> None:
        """Write a clip, or note what it lacks.

        Raises:
            RunError: If it lacks something and the options say that this is an error.
        """
        try:
            vectors = {slot: self._vector(clip, slot, name) for slot, name in self._sources.slots.items()}
            frames = self._length(clip, self._sources.frames)
            entry = self._entry(clip)
            emotion = self._emotion(clip, entry)
        except _MissingError as missing:
            rule = self._rule.of(clip) if missing.option == "unlabelled" else getattr(self._options, missing.option)
            if rule in {"error", "zeros"}:
                hint = f"--opt {missing.option}=omit leaves such clips out"
                hint += ", unlabelled=EMOTION gives them one" if missing.option == "unlabelled" else ""
                raise RunError(f"clip {clip.id}, {missing}; {hint}") from None
            self.without[missing.what].append(clip.id)
            return
        for slot, vector in vectors.items():
            write_npy(self._folder / slot / f"{clip.id}.npy", vector)
        self.lines[clip.split or ""].append(f"{clip.id} {frames} {emotion}")
        self._note_valence(clip, frames, emotion)
        self.entries[clip.id] = entry
        self.sentences.append((clip.id, _sentence(entry["text"])))
        for key in ("peak_index", "pseu_emotion"):
            if self._sources.action_units and key not in entry:
                self.partial[key].append(clip.id)

    def _note_valence(self, clip: Clip, frames: int, emotion: str) -> None:
        if self._options.ncev != "none":
            value = clip.dimensions.get(self._options.ncev)
            if value is None:
                self.partial[self._options.ncev].append(clip.id)
            else:
                self.valences[clip.split or ""].append(f"{clip.id} {frames} {emotion} {value:g}")

    def _features(self, clip: Clip, name: str) -> Features:
        self._require(clip, name)
        return self._store.get(clip.id, name)

    def _length(self, clip: Clip, name: str) -> int:
        self._require(clip, name)
        return self._store.length(clip.id, name)

    def _require(self, clip: Clip, name: str) -> None:
        if not self._store.has(clip.id, name):
            raise _MissingError(name, "missing", f"feature {name}: expected values, got none")

    def _vector(self, clip: Clip, slot: str, name: str) -> npt.NDArray[np.float32]:
        vector = pooled(self._store.get(clip.id, name)) if self._store.has(clip.id, name) else None
        if vector is None and self._options.missing == "zeros":
            self.zeros[slot].append(clip.id)
            return np.zeros(WIDTH, np.float32)
        self._require(clip, name)
        if vector is None:
            raise _MissingError(name, "missing", f"feature {name}: expected a valid row, got none")
        return vector

    def _entry(self, clip: Clip) -> dict[str, Any]:
        if clip.text is None and self._options.text != "blank":
            raise _MissingError("text", "text", "text: expected a transcript, got none")
        spec = self._sources.action_units
        face = {} if spec is None else _face(self._features(clip, spec.name), spec, self._options.rule, clip)
        return face | {"text": clip.text or ""}

    def _emotion(self, clip: Clip, entry: dict[str, Any]) -> str:
        is_label = self._options.emotion == "label"
        word = word_of(clip, LABELS, self._map) if is_label else entry.get("pseu_emotion")
        if word is None and not self._rule.is_left_out(clip):
            word = self._rule.of(clip)
            if word not in LABELS:
                raise RunError(f"option unlabelled: expected one of {', '.join(LABELS)}; got {word!r}")
        if word is None:
            got = repr(clip.label_raw) if self._options.emotion == "label" else f"none by rule {self._options.rule}"
            raise _MissingError("label", "unlabelled", f"emotion: expected one of {', '.join(LABELS)}; got {got}")
        return word


def _face(features: Features, spec: FeatureSpec, rule: Rule, clip: Clip) -> dict[str, Any]:
    """The keys made of action units, in the published file's order; none for a clip without a face.

    Raises:
        RunError: If the feature's columns are not enough for the rule.
    """
    try:
        peak = peak_frame(features, spec.columns, rule)
        word = clip_emotion(features, spec.columns, rule)
        if peak is None or word is None:
            return {}
        entry = {
            "AU_list": list(frequent_aus(features, spec.columns)),
            "peak_index": str(peak.row),
            "peak_AU_list": list(peak_aus(features, spec.columns, peak.row)),
        }
    except StoreError as error:
        raise RunError(f"clip {clip.id}, feature {spec.name}: {error}") from error
    label = MERR_LABELS[word]
    return entry if label is None else entry | {"pseu_emotion": label}


def _sentence(text: str) -> str:
    """A text as pandas will read it: a word that it takes for no text, and no text, get a space."""
    return f"{text} " if text in NOT_TEXT else text

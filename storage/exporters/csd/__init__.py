"""CMU-MultimodalSDK: a folder with one computational sequence (`.csd`, HDF5) per feature.

```
<feature>.csd
  /<feature>/data/<clip_id>/features (n, D) float32   the valid rows; a clip without any has n = 0
  /<feature>/data/<clip_id>/intervals (n, 2) float64  seconds from the clip's start
  /<feature>/metadata/<key> (1,)                      JSON text; `dimension names` are the columns
words.csd                       with `intervals=words`: (n, 1) bytes, UTF-8, and when each word is spoken
labels/labels.csd               with `dimension` or `labels`: one row per clip, over all of it; /labels/... as above
missing.json, provenance.json   clips that were left out; where the numbers come from
```

`mmdataset(folder)` of the SDK opens it; its keys are the feature names. Labels have a folder of their own because they
are added after the first alignment: `add_computational_sequences({"labels": "<folder>/labels/labels.csd"}, None)`.
To align to the words, `align("words", collapse_functions=[f])`, where f leaves words as they are: they have no mean.
Rows that are not valid are not in the sequence, so that the SDK's averages never see them; the intervals say where they
were. `unify` and `align` of the SDK drop every clip that not all sequences have. Transcripts and splits have no place
in a sequence.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_records
from storage.exporters._shared.labels import Target, UnlabelledRule, target_of
from storage.exporters._shared.selection import (
    abbreviate,
    clips_without,
    refuse_broadcast,
    refuse_missing,
    seconds_of,
    selected_features,
)
from storage.exporters._shared.spoken_words import longest_word, word_times, words_by
from storage.exporters._shared.validation import prefixes
from storage.exporters.csd.layout import LABELS, NAMES, VERSION
from storage.exporters.csd.options import CsdOptions
from storage.exporters.csd.validate import validate_folder
from storage.store.files import create_hdf5
from storage.vocabulary.spoken_words import ALIGNMENT, WORDS
from storage.wording import counted

if TYPE_CHECKING:
    from storage.records import Features
    from storage.store.store import FeatureStore


class _Entry(NamedTuple):
    clip_id: str
    features: npt.NDArray[Any]
    intervals: npt.NDArray[np.float64]


class CsdExporter(Exporter[CsdOptions]):
    """One computational sequence per feature, and one of labels."""

    name = "csd"
    Options = CsdOptions

    def features(self) -> list[str]:
        """The features of all sequences, and the one that found the words.

        Raises:
            RunError: If the store lacks one, or one is called like the sequence of labels.
        """
        found = [ALIGNMENT] if self.options.intervals == ALIGNMENT and ALIGNMENT in self.store.specs else []
        return list(dict.fromkeys([*self._sequences(), *found]))

    def _sequences(self) -> list[str]:
        names = selected_features(self.store, self.options)
        with_words = self.options.intervals != "none"
        if with_words and not self.options.features:  # the feature of that name is the sequence, without the words
            names = [name for name in names if name not in {WORDS, self.options.intervals}]
        taken = (LABELS, WORDS) if with_words else (LABELS,)
        if clash := next((name for name in taken if name in names), None):
            raise RunError(f"feature {clash!r}: this name means something else in this format; choose others")
        return names

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder, one clip at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If an option is wrong, or a clip lacks a feature or a label and no option says what to do.
        """
        store, names, target = self.store, self._sequences(), target_of(self.options)
        refuse_broadcast(store, [store.specs[name] for name in names], self.options.broadcast)
        without, rule = clips_without(store, names), UnlabelledRule(self.options)
        refuse_missing(without, self.options.missing, "leaves them out of that sequence")
        if target is not None:
            unlabelled = [clip for clip in store.clips() if target.of(clip) is None]
            rule.refuse(unlabelled, target.dimension or target.label)
            without[LABELS] = [clip.id for clip in unlabelled if rule.is_left_out(clip)]
        destination.mkdir()
        common, lines = _metadata(store, self.options, provenance), []
        for name in names:
            metadata = common | _about(store, name)
            lines.append(_write_sequence(destination, name, metadata, _entries(store, name)))
        if self.options.intervals != "none":
            words = _words(store, self.options.intervals)
            lines.append(_write_sequence(destination, WORDS, common | _ABOUT_WORDS, words))
        if target is not None:
            metadata = common | _about_labels(target)
            (destination / LABELS).mkdir()
            lines.append(_write_sequence(destination / LABELS, LABELS, metadata, _labels(store, names, target, rule)))
        else:
            lines.append("no labels: --opt dimension=NAME or --opt labels=word:number,... writes labels/labels.csd")
        remarks = _note_prefixes(clip.id for clip in store.clips())
        return [*lines, *remarks, *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read all sequences of the folder; see `validate_folder`."""
        return validate_folder(path)


def _entries(store: FeatureStore, name: str) -> Iterator[_Entry]:
    for clip in store.clips():
        if store.has(clip.id, name):
            yield _entry(clip.id, store.get(clip.id, name))


def _entry(clip_id: str, features: Features) -> _Entry:
    return _Entry(clip_id, features.values[features.valid], features.times[features.valid])


_ABOUT_WORDS = {
    "computational sequence description": "the words of each clip and when they are spoken",
    NAMES: ["word"],
}


def _words(store: FeatureStore, source: str) -> Iterator[_Entry]:
    words_of = words_by(store, source)
    longest = longest_word(store, words_of)
    for clip in store.clips():
        if words := words_of(clip):
            yield _Entry(clip.id, np.array([[word.text.encode()] for word in words], f"S{longest}"), word_times(words))


def _labels(store: FeatureStore, names: list[str], target: Target, rule: UnlabelledRule) -> Iterator[_Entry]:
    for clip in store.clips():
        number = target.of(clip)
        if number is None and not rule.is_left_out(clip):
            number = rule.number_of(clip)
        if number is not None:
            whole = np.array([[0.0, seconds_of(store, clip, names)]])
            yield _Entry(clip.id, np.array([[number]], np.float32), whole)


def _metadata(store: FeatureStore, options: CsdOptions, provenance: str) -> dict[str, Any]:
    """The keys that the SDK's template asks for, and where the numbers come from."""
    return {
        VERSION: "1",
        "alignment compatible": "seconds from each clip's start",
        "dataset name": options.dataset if options.dataset is not None else store.manifest.corpus,
        "dataset version": "",
        "creator": options.creator,
        "contact": options.contact,
        "featureset bib citation": "",
        "dataset bib citation": "",
        "provenance": json.loads(provenance),
    }


def _about(store: FeatureStore, name: str) -> dict[str, Any]:
    spec = store.specs[name]
    described = f"{name}: {spec.modality}, {spec.level} level, from {spec.source or spec.extractor}"
    return {"computational sequence description": described, NAMES: list(spec.columns), "units": list(spec.units)}


def _about_labels(target: Target) -> dict[str, Any]:
    name = target.dimension or target.label
    return {"computational sequence description": f"label: {name}", NAMES: [name], "numbers": dict(target.numbers)}


def _write_sequence(folder: Path, name: str, metadata: Mapping[str, Any], entries: Iterable[_Entry]) -> str:
    digest, clips, rows, empty = hashlib.md5(usedforsecurity=False), 0, 0, []
    with create_hdf5(folder / f"{name}.csd", for_old_readers=True) as file:
        data = file.create_group(f"{name}/data", track_order=True)
        for entry in entries:
            group = data.create_group(entry.clip_id)
            group.create_dataset("features", data=entry.features)
            group.create_dataset("intervals", data=entry.intervals)
            for part in (entry.clip_id.encode(), entry.features.tobytes(), entry.intervals.tobytes()):
                digest.update(part)
            clips, rows = clips + 1, rows + len(entry.features)
            empty += [] if len(entry.features) else [entry.clip_id]
            del entry  # or it would be kept while the next one is read
        identity = {"root name": name, "md5": digest.hexdigest(), "uuid": str(uuid.UUID(digest.hexdigest()))}
        # The SDK's own template lacks a comma: it looks for these two keys in one word and asks at a prompt without.
        _write_metadata(file[name], {**identity, **metadata, NAMES + VERSION: metadata[VERSION]})
    remark = f"; {counted(len(empty), 'clip')} without a valid row: {abbreviate(empty)}" if empty else ""
    return f"{name}.csd: {counted(clips, 'clip')}, {rows} rows x {len(metadata[NAMES])} columns{remark}"


def _write_metadata(root: Any, metadata: Mapping[str, Any]) -> None:
    import h5py

    group = root.create_group("metadata")
    for key, value in metadata.items():
        text = json.dumps(value, ensure_ascii=False)
        group.create_dataset(key, data=np.array([text], dtype=object), dtype=h5py.string_dtype())


def _note_prefixes(ids: Iterable[str]) -> list[str]:
    pairs = [f"{one} of {other}" for one, other in prefixes(ids)]
    return [f"note: ids that begin others: {abbreviate(pairs)}; removing one in the SDK removes both"] if pairs else []

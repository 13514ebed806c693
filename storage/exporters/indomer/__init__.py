"""IndoMER's feature PKLs and label files: a list of dicts per split and modality, padded with zeros to one length.

```
video_feature/<split>_video_features.pkl      [{"video_name": "<clip>.mp4", "video_feature": (T, 673) float32}, ...]
audio_feature/<split>_audio_features.pkl      [{"audio_name": "<clip>.wav", "audio_feature": (T, 18) float32}, ...]
.../<split>_*_features.lengths.json           true number of rows of each clip
.../columns.json                              name and source of each column
videos_feature/                               the same as video_feature/: IndoMER's README uses both names
3_Class/3_class_<split>.json, 7_Class/...     the repository's own files, byte for byte where the clips are the same
.../*_label_id.json, .../classes.json         the same with `label_id`, which the README uses, and what it counts
Annotations.csv                               the repository's own table, with its damaged texts whole
missing.json, provenance.json                 clips that were left out; where the numbers come from
```

Clips are in manifest order, which is the split JSON's where the manifest was made of it. Zeros are appended at the end,
up to the longest clip. Rows that are not valid (no face) become zeros with `success` 0, as OpenFace writes them. A
label file is written only if every clip of it has the texts and labels it needs. All files load with NumPy 1.24 and
newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from configs.errors import RunError
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_records
from storage.exporters._shared.selection import abbreviate, by_split, clips_without, refuse_missing, spec_of
from storage.exporters.indomer.label_files import write_labels
from storage.exporters.indomer.layout import PRESETS
from storage.exporters.indomer.options import IndomerOptions
from storage.exporters.indomer.padded_pickles import Modality, link_tree, write_modality
from storage.exporters.indomer.validate import validate_tree
from storage.records import FeatureSpec

_GEMAPS_WIDTH = 18


class IndomerExporter(Exporter[IndomerOptions]):
    """Padded PKLs of a video and an audio feature, and the repository's label files."""

    name = "indomer"
    Options = IndomerOptions

    def features(self) -> list[str]:
        """The video and the audio feature.

        Raises:
            RunError: If the store lacks one of them.
        """
        names = {"video": self.options.video_feature, "audio": self.options.audio_feature}
        hint = "; choose one with {}_feature=NAME"
        return [spec_of(self.store, name, hint.format(kind)).name for kind, name in names.items()]

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the tree; a few clips are in memory at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip has no split or lacks a feature and no option says what to do, or the video feature
                lacks columns.
        """
        store, options = self.store, self.options
        video, audio = (store.specs[name] for name in self.features())
        modalities = [_video(video, options.preset), _audio(audio)]
        splits, clips = by_split(store, options.default_split), {clip.id: clip for clip in store.clips()}
        without = clips_without(store, [m.spec.name for m in modalities])
        refuse_missing(without, options.missing, "leaves them out of the PKLs that need it")
        missing = {m.kind: without[m.spec.name] for m in modalities}
        destination.mkdir()
        lines: list[str] = []
        one_length = options.length == "all"
        for modality in modalities:
            lines += write_modality(store, destination, modality, _without(splits, missing[modality.kind]), one_length)
        link_tree(destination / "video_feature", destination / "videos_feature")
        # The README's loop stops at an item that a PKL lacks.
        whole = _without(splits, [clip_id for ids in missing.values() for clip_id in ids])
        lines += write_labels(destination, {split: [clips[i] for i in ids] for split, ids in whole.items()})
        return [*lines, *write_records(destination, missing, provenance), *_remarks(modalities)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the tree; see `validate_tree`."""
        return validate_tree(path)


def _video(spec: FeatureSpec, preset: str) -> Modality:
    layout = PRESETS[preset]
    absent = [name for name in layout.own if name not in spec.columns]
    if absent:
        raise RunError(
            f"feature {spec.name} lacks {len(absent)} of the {len(layout.own)} OpenFace columns of {preset}: "
            f"{abbreviate(absent)}; choose another one with --opt video_feature=NAME, or another preset"
        )
    return Modality("video", spec, preset, layout.about, (*layout.leading, *layout.own))


def _audio(spec: FeatureSpec) -> Modality:
    return Modality("audio", spec, "native", "all columns of the feature", spec.columns)


def _without(splits: Mapping[str, Sequence[str]], absent: Sequence[str]) -> dict[str, list[str]]:
    left_out = set(absent)
    return {split: [i for i in ids if i not in left_out] for split, ids in splits.items()}


def _remarks(modalities: Sequence[Modality]) -> list[str]:
    lines = [f"{m.kind}: layout {m.layout}, source {m.spec.source or 'not stated'}" for m in modalities]
    audio = modalities[1].spec
    if len(audio.columns) != _GEMAPS_WIDTH:
        lines.append(f"note: {audio.name} has {len(audio.columns)} columns; IndoMER's audio has 18 (GeMAPSv01b)")
    return lines

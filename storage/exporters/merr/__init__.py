"""The tree that Emotion-LLaMA loads: one 1024-wide vector per clip of HuBERT, MAE and VideoMAE, and MERR's annotation.

```
MERR_coarse_grained.txt                 <clip> <number of frames> <emotion>, single spaces, one of nine emotions; with
                                        several splits MERR_coarse_grained_<split>.txt, unless mix_splits=true
relative_<split>_NCEV.txt               the same with a valence as the fourth field, if asked for
HL-UTT/<clip>.npy                       HuBERT, (1024,) float32
mae_340_UTT/<clip>.npy                  MAE
maeV_399_UTT/<clip>.npy                 VideoMAE
MERR_coarse_grained.json                {clip: {AU_list, peak_index, peak_AU_list, pseu_emotion, text}}
MERR_fine_grained.json                  empty: the loader opens it, and merflow writes no descriptions
transcription_en_all.csv                name,sentence
images/<first|middle|peak>/<clip>.png   upright full-size frames for EVA, if asked for
missing.json, provenance.json           clips that lack something; where the numbers come from
```

With `edition=mer2024` the folders are `HL_23_UTT`, `mae_340_23_UTT` and `maeVideo_399_23_UTT`, and the transcript has
the columns name,sentence,sentence_en, the clip's text in both.

A feature with a row per frame is averaged over its valid rows. 340 and 399 are epochs of the original checkpoints, not
sizes. `peak_index` counts frames from 0 and is text, as in the published file. Its keys that somebody has to write
(`caption`, `visual_prior_list`, `audio_prior_list`) are left out. The rules of the peak and of `pseu_emotion` are in
`storage.vocabulary.action_unit_rules`; a clip without a face has no keys made of action units. Cheng et al.,
"Emotion-LLaMA", NeurIPS 2024.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import RunError
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_json, write_records
from storage.exporters._shared.frames import frames_at, require_reader, write_png
from storage.exporters._shared.labels import UnlabelledRule, check_label_map, word_of
from storage.exporters._shared.selection import abbreviate, clips_without, refuse_missing
from storage.exporters.merr.layout import FINE, JSON, LABELS, NCEV, SENTENCES, TRANSCRIPT
from storage.exporters.merr.options import MerrOptions, Sources, find_sources
from storage.exporters.merr.tree import Tree
from storage.exporters.merr.validate import annotations_of, validate_tree
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.clip import Clip
    from storage.exporters._shared.frames import FrameReader


class MerrExporter(Exporter[MerrOptions]):
    """Three vectors per clip, the annotation, transcripts and, if asked for, frames."""

    name = "merr"
    Options = MerrOptions

    @cached_property
    def _sources(self) -> Sources:
        return find_sources(self.store, self.options)

    def features(self) -> list[str]:
        """The three features, the one that counts frames and the one with action units, if any.

        Raises:
            RunError: If the store lacks a feature, or one of the three is not 1024 wide.
        """
        return self._sources.features

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the tree, one clip in memory at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks something and no option says what to do.
        """
        store, options = self.store, self.options
        zeros = set(self._sources.slots.values()) if options.missing == "zeros" else set()
        needed = [name for name in self.features() if name not in zeros]
        refuse_missing(clips_without(store, needed), options.missing, "leaves them out")
        if options.emotion == "label":
            stated = check_label_map(options.labels, LABELS)
            unlabelled = [clip for clip in store.clips() if word_of(clip, LABELS, stated) is None]
            UnlabelledRule(options).refuse(unlabelled, f"one of {', '.join(LABELS)}")
        destination.mkdir()
        tree = Tree(store, destination, options, self._sources)
        for clip in store.clips():
            tree.add(clip)
        if not tree.lines:
            raise RunError("no clip is left for the annotation, which the loader cannot open when it is empty")
        annotations = self._annotations(tree)
        lists = annotations | self._lists_with_valence(tree)
        for name, lines in lists.items():
            (destination / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
        write_json(destination / JSON, tree.entries)
        write_json(destination / FINE, {})
        with (destination / TRANSCRIPT).open("w", encoding="utf-8", newline="") as file:
            columns = SENTENCES[options.edition]
            rows = ([name, *[sentence] * (len(columns) - 1)] for name, sentence in tree.sentences)
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        write_records(destination, {**tree.without, **tree.partial, **tree.zeros}, provenance)
        return [*self._remarks(tree, annotations)]

    def write_frames(self, destination: Path, reader: FrameReader | None) -> list[str]:
        """Write the frames that the option `images` names: the first, number N // 2 of N (counted from 0), the peak.

        Args:
            destination: The tree.
            reader: Decodes clips.

        Raises:
            RunError: If nothing was given to read media with, or a clip's media cannot be read.
        """
        if not self.options.frames:
            return []
        reader, manifest = require_reader(reader, "images"), self.store.manifest
        written = dict.fromkeys(self.options.frames, 0)
        texts = (path.read_text(encoding="utf-8") for path in annotations_of(destination))
        lines = [line for text in texts for line in text.splitlines()]
        counts = {name: int(count) for name, count, _ in (line.split(" ") for line in lines)}
        entries = json.loads((destination / JSON).read_text(encoding="utf-8"))
        for clip in self.store.clips():
            if clip.id in counts:
                peak = entries[clip.id].get("peak_index")
                numbers = {"first": 0, "middle": counts[clip.id] // 2, "peak": -1 if peak is None else int(peak)}
                chosen = {which: numbers[which] for which in self.options.frames if numbers[which] >= 0}
                _write_images(destination, reader, manifest.root_of(clip), clip, chosen)
                for which in chosen:
                    written[which] += 1
        return [f"images/{which}: {number} of {counted(len(counts), 'clip')}" for which, number in written.items()]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the tree; see `validate_tree`."""
        return validate_tree(path)

    def _annotations(self, tree: Tree) -> dict[str, list[str]]:
        """Lines by the name of their file: one for each split, so that nobody trains on the test."""
        name = Path(self.options.annotation)
        if len(tree.lines) == 1 or self.options.mix_splits:
            in_order = dict.fromkeys(clip.split or "" for clip in self.store.clips())
            return {name.name: [line for split in in_order for line in tree.lines.get(split, [])]}
        names = {split: f"{name.stem}_{split or 'no_split'}{name.suffix}" for split in tree.lines}
        return {names[split]: lines for split, lines in tree.lines.items()}

    def _lists_with_valence(self, tree: Tree) -> dict[str, list[str]]:
        """Lines by the name of their file.

        Raises:
            RunError: If they are asked for and no clip has a value.
        """
        if self.options.ncev == "none":
            return {}
        if not tree.valences:
            known = sorted({name for clip in self.store.clips() for name in clip.dimensions})
            raise RunError(f"option ncev: no clip has {self.options.ncev!r}; they have {', '.join(known) or 'none'}")
        if len(tree.lines) == 1 or self.options.mix_splits:
            return {f"relative{NCEV}": [line for lines in tree.valences.values() for line in lines]}
        return {f"relative_{split or 'no_split'}{NCEV}": lines for split, lines in tree.valences.items()}

    def _remarks(self, tree: Tree, annotations: Mapping[str, list[str]]) -> Iterator[str]:
        sources, rule = self._sources, self.options.rule
        for name, lines in annotations.items():
            yield f"{name}: {counted(len(lines), 'clip')}"
        if len(tree.lines) > 1 and self.options.mix_splits:
            yield f"note: one annotation holds all splits, as told: {', '.join(s or 'no split' for s in tree.lines)}"
        for slot, name in sources.slots.items():
            recipe = self.store.specs[name].recipe.get("recipe")
            # The published features were most likely made with the last layer; the same width hides another recipe.
            unlike = ", unlike the published features, most likely" if recipe == "merbench" else ""
            yield f"{slot}: {name}" + (f", recipe {recipe}{unlike}" if recipe else "")
        if sources.action_units is None:
            yield f"{JSON}: no action units, so only text"
        else:
            yield f"{JSON}: action units of {sources.action_units.source}, rule {rule}; no captions"
        for what, ids in tree.without.items():
            yield f"{what}: {counted(len(ids), 'clip')} left out: {abbreviate(ids)}"
        for slot, ids in tree.zeros.items():
            yield f"{slot}: {having(len(ids), 'clip')} none, zeros in its place, as told: {abbreviate(ids)}"
        for key, ids in tree.partial.items():
            yield f"{JSON}, {key}: {having(len(ids), 'clip')} none: {abbreviate(ids)}"


def _write_images(folder: Path, reader: FrameReader, root: Path, clip: Clip, numbers: Mapping[str, int]) -> None:
    for index, frame in frames_at(reader, clip, root, set(numbers.values())):
        for which in (which for which, at in numbers.items() if at == index):
            write_png(folder / "images" / which / f"{clip.id}.png", frame)

"""What a corpus reader is: the extension point, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from configs.plugins import Registry, Section
from storage.clip import Clip
from storage.corpora._shared.clip_builder import ClipBuilder, CorpusRow
from storage.corpora._shared.label_map import read_label_map
from storage.corpora._shared.media_finder import MediaFinder
from storage.corpora._shared.report import IngestReport
from storage.vocabulary.labels import normalise
from storage.wording import counted


class CorpusOptions(Section):
    """Options of every corpus reader.

    Attributes:
        corpus: Name of the corpus in the manifest; the reader's own choice where not given.
        label_map: Labels in merflow's vocabulary: a JSON, YAML or two-column CSV file from the corpus's words to
            merflow's, or a language that merflow knows words of (de, es, fr, id, it, ja, pt, zh).
    """

    corpus: str | None = None
    label_map: str | None = None


OptionsT = TypeVar("OptionsT", bound=CorpusOptions)


@dataclass(frozen=True)
class CorpusListing:
    """A corpus as its reader found it; nothing is hashed or probed yet.

    Attributes:
        root: Folder that the clips' media paths are relative to.
        clips: The clips, in order; a stream that can be read again.
        report: What did not fit together; complete once the clips were read to their end.
    """

    root: Path
    clips: Iterable[Clip]
    report: IngestReport

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        return self.report.corpus


class Corpus(ABC, Generic[OptionsT]):
    """Reads one corpus in the layout in which its owners ship it.

    A reader is a file or folder of `storage.corpora` that defines one subclass. It states `name` and `Options`, and
    says in `rows` what the corpus says of each clip; the shared builder finds the media and settles the ids.

    Args:
        source: Folder or file of the corpus.
        options: The reader's options.

    Attributes:
        name: Name of the reader, as its file is called.
        Options: Class of its options.
        expected_clips: Clips that the published corpus has, by split; compared with what was found.
        labels: The corpus's own label words (in small letters) in merflow's; its owners' words are never guessed.
            Empty for the words that mean the same in every corpus.
        licence: Terms of the corpus, for people.
    """

    name: ClassVar[str]
    Options: ClassVar[type[CorpusOptions]]
    expected_clips: ClassVar[Mapping[str, int]] = {}
    labels: ClassVar[Mapping[str, str]] = {}
    licence: ClassVar[str] = ""

    def __init__(self, source: Path, options: OptionsT) -> None:
        self.source, self.options = source, options
        self.report = IngestReport(options.corpus or self.default_name())

    def default_name(self) -> str:
        """Name of the corpus where no option gives one."""
        return self.source.absolute().stem

    @property
    def root(self) -> Path:
        """Folder that media paths are relative to.

        Raises:
            RunError: If it is not there.
        """
        return self.source

    def finder(self) -> MediaFinder | None:
        """What finds the media files that rows name; None where rows give exact paths, or the corpus has no media."""
        return MediaFinder(self.root)

    @abstractmethod
    def rows(self) -> Iterator[CorpusRow]:
        """What the corpus says of each clip, in order; called twice, and may only stream.

        Raises:
            RunError: If a file of the corpus is missing or damaged; names the file and the row.
        """

    def check(self) -> None:
        """Look at what rows will be read from, before any is.

        Raises:
            RunError: If the corpus is not there, or an option does not fit it.
        """

    def notes(self) -> Iterator[str]:
        """What a person should know of the corpus as a whole, a line each; called once for each reading."""
        yield from ()

    def read(self) -> CorpusListing:
        """The corpus as a stream of clips.

        Raises:
            RunError: If the corpus is not there, or an option does not fit it.
        """
        self.check()
        _ = self._label_map
        return CorpusListing(self.root, _Clips(self), self.report)

    def normalise(self, raw: str | None) -> str | None:
        """A label of the corpus in merflow's vocabulary; None where it has no certain counterpart."""
        if raw is None:
            return None
        word = raw.strip().lower()
        if word in self._label_map:
            return self._label_map[word]
        return self.labels.get(word) if self.labels else normalise(raw)

    @cached_property
    def _label_map(self) -> Mapping[str, str]:
        return {} if self.options.label_map is None else read_label_map(self.options.label_map)

    def build(self) -> Iterator[Clip]:
        """The clips; adds to the report what did not fit together.

        Raises:
            RunError: If a row cannot be a clip, or one id names different media.
        """
        self.report.clear()
        self.report.notes += self.notes()
        splits: Counter[str] = Counter()
        for clip in ClipBuilder(str(self.source), self.finder(), self.normalise, self.report).build(self.rows):
            splits[clip.split or ""] += 1
            yield clip
        for split, expected in self.expected_clips.items():
            if splits[split] != expected:
                difference = f"{counted(splits[split], 'clip')} found, the published corpus has {expected}"
                self.report.notes.append(f"split {split}: {difference}")


@dataclass(frozen=True)
class _Clips:
    """A corpus's clips, read afresh by each loop."""

    reader: Corpus[Any]

    def __iter__(self) -> Iterator[Clip]:
        return self.reader.build()


CORPORA: Registry[Corpus[CorpusOptions]] = Registry("storage.corpora", "corpus", "corpora", "Corpus")

"""What a corpus reader is: the extension point, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from configs.plugins import Registry, Section
from storage.clip import Clip
from storage.corpora._shared.clip_builder import ClipBuilder, CorpusRow
from storage.corpora._shared.label_map import read_label_map
from storage.corpora._shared.media_finder import MediaFinder
from storage.corpora._shared.report import IngestReport
from storage.corpora._shared.tree import Tree, path_pattern
from storage.corpora._shared.word_times import WordFiles, WordTimes
from storage.vocabulary.labels import normalise
from storage.wording import counted


class CorpusOptions(Section):
    """Options of every corpus reader.

    Attributes:
        corpus: Name of the corpus in the manifest; the reader's own choice where not given.
        label_map: Labels in merflow's vocabulary: a JSON, YAML or two-column CSV file from the corpus's words to
            merflow's, or a language that merflow knows words of (de, es, fr, id, it, ja, pt, zh).
        words: Folder or file with the times of each clip's words: TextGrid, CTM, JSON of whisperX or MFA, CSV.
    """

    corpus: str | None = None
    label_map: str | None = None
    words: Path | None = None


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
        title: What the corpus is called.
        citation: What its users are asked to cite.
        licence: Terms of the corpus and where it is to be had, for people.
        modalities: What it has of `audio`, `video`, `text`; its clips are skipped by rule for the rest.
        signs: Patterns of paths, without leading folders and regard to case, each of which is that of some file of the
            corpus: a folder that has all of them is taken for this corpus. Empty where none are certain.
        expected_clips: Clips that the published corpus has, by split (empty for none); compared with what was found.
        labels: The corpus's own label words (in small letters) in merflow's; its owners' words are never guessed.
            Empty for the words that mean the same in every corpus.
    """

    name: ClassVar[str]
    Options: ClassVar[type[CorpusOptions]]
    title: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    modalities: frozenset[str] = frozenset({"audio", "video", "text"})
    signs: ClassVar[tuple[str, ...]] = ()
    expected_clips: ClassVar[Mapping[str, int]] = {}
    labels: ClassVar[Mapping[str, str]] = {}

    def __init__(self, source: Path, options: OptionsT) -> None:
        self.source, self.options = source, options
        self.report = IngestReport(options.corpus or self.default_name())

    @classmethod
    def fits(cls, paths: Sequence[str]) -> bool:
        """Whether a folder looks like this corpus.

        Args:
            paths: Some of its files, relative to it.
        """
        return bool(cls.signs) and all(any(map(path_pattern(sign).fullmatch, paths)) for sign in cls.signs)

    @classmethod
    def facts(cls) -> dict[str, str]:
        """What people should know of the corpus beside the reader's own text, by a title; nothing that is empty."""
        facts = {
            "cite": cls.citation,
            "terms": cls.licence,
            "has": ", ".join(sorted(cls.modalities)) if cls.title or cls.citation else "",
            "published clips": ", ".join(f"{split or 'all'} {n:,}" for split, n in cls.expected_clips.items()),
            "labels": ", ".join(f"{word} = {label}" for word, label in cls.labels.items()),
        }
        return {title: said for title, said in facts.items() if said}

    def default_name(self) -> str:
        """Name of the corpus where no option gives one: the reader's if it reads one corpus only, else its place's."""
        return self.name if self.title else self.source.absolute().stem

    @cached_property
    def tree(self) -> Tree:
        """The corpus's files."""
        return Tree(self.source)

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

    def left_over(self) -> Iterable[str]:
        """Files that no row uses, beside those that the finder knows of; called once, after the rows."""
        return ()

    def expected(self) -> Mapping[str, int]:
        """Clips by split that the published corpus has of what was asked for."""
        return self.expected_clips

    def read(self) -> CorpusListing:
        """The corpus as a stream of clips.

        Raises:
            RunError: If the corpus is not there, or an option does not fit it.
        """
        self.check()
        _ = self._label_map
        _ = self._word_files
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

    @cached_property
    def _word_files(self) -> WordFiles | None:
        return None if self.options.words is None else WordFiles(self.options.words)

    def build(self) -> Iterator[Clip]:
        """The clips; adds to the report what did not fit together.

        Raises:
            RunError: If a row cannot be a clip, or one id names different media.
        """
        self.report.clear()
        self.report.notes += self.notes()
        splits: Counter[str] = Counter()
        words = None if self._word_files is None else WordTimes(self._word_files)
        lacks = tuple(sorted({"audio", "video", "text"} - self.modalities))
        for clip in ClipBuilder(str(self.source), self.finder(), self.normalise, self.report, lacks).build(self.rows):
            splits[clip.split or ""] += 1
            yield clip if words is None else replace(clip, words=words.of(clip))
        self.report.notes += () if words is None else words.notes()
        self.report.extra += self.left_over()
        for split, expected in self.expected().items():
            found = splits[split] if split else splits.total()
            where = f"split {split}: " if split else ""
            same = "as many as the published corpus has"
            difference = same if found == expected else f"the published corpus has {expected}"
            self.report.notes.append(f"{where}{counted(found, 'clip')} found, {difference}")


class InPlaceCorpus(Corpus[OptionsT], Generic[OptionsT]):
    """A corpus whose rows give exact paths, or no media at all: nothing is looked for."""

    def finder(self) -> None:
        """None."""
        return


@dataclass(frozen=True)
class _Clips:
    """A corpus's clips, read afresh by each loop."""

    reader: Corpus[Any]

    def __iter__(self) -> Iterator[Clip]:
        return self.reader.build()


CORPORA: Registry[Corpus[CorpusOptions]] = Registry("storage.corpora", "corpus", "corpora", "Corpus")

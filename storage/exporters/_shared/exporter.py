"""What an export format is: the extension point, and the one function that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from configs.errors import RunError
from configs.plugins import Flag, Registry, parse
from storage.atomic import publish
from storage.exporters._shared.choosing import Chosen, choose
from storage.exporters._shared.naming import named_by_corpus
from storage.exporters._shared.provenance import describe_provenance, provenance_format
from storage.exporters._shared.validation import refuse_invalid
from storage.store.store import FeatureStore
from storage.store.survey import settle_stale
from storage.store.versions import mixed_versions

if TYPE_CHECKING:
    from storage.exporters._shared.frames import FrameReader


class ExportOptions(Chosen):
    """Options of every format.

    Attributes:
        allow_synthetic: Whether features made with random weights may be exported; their numbers mean nothing.
        stale: What becomes of values whose clip changed, or that an older merflow made: `error` stops, `omit` treats
            them as missing, `keep` takes them as they are.
    """

    allow_synthetic: Flag = False
    stale: Literal["error", "omit", "keep"] = "error"


OptionsT = TypeVar("OptionsT", bound=ExportOptions)


class Exporter(ABC, Generic[OptionsT]):
    """Writes one export of one store.

    A format is a folder (or module) of `storage.exporters` that defines one subclass. It states `name` and `Options`,
    says which features it needs, writes them, and validates what was written.

    Args:
        store: Where the features are.
        options: The format's options.

    Attributes:
        name: Name of the format, as its folder is called.
        Options: Class of its options.
    """

    name: ClassVar[str]
    Options: ClassVar[type[ExportOptions]]

    def __init__(self, store: FeatureStore, options: OptionsT) -> None:
        self.store, self.options = store, options

    @abstractmethod
    def features(self) -> list[str]:
        """Names of the features that the export is made of, each of which the store has.

        Raises:
            RunError: If the store lacks one, or an option does not fit the store.
        """

    @abstractmethod
    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write everything to a path that does not exist yet.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Returns:
            Lines that tell a person what was written and what was left out.

        Raises:
            RunError: If a clip lacks something and no option says what to do.
        """

    def write_frames(self, destination: Path, reader: FrameReader | None) -> list[str]:
        """Add video frames to what `write` wrote; for the few formats with options that ask for them.

        Args:
            destination: What `write` made.
            reader: Decodes clips; None where nothing was given to read media with.

        Returns:
            Lines that tell a person what was written.

        Raises:
            RunError: If frames are asked for and cannot be read.
        """
        return []

    @staticmethod
    @abstractmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read an export.

        Args:
            path: What `write` made.

        Yields:
            One line per problem: file, clip, field, what was expected, what was found.
        """


EXPORTERS: Registry[Exporter[ExportOptions]] = Registry("storage.exporters", "format", "formats", "Exporter")


def export(
    name: str,
    store: FeatureStore,
    destination: Path,
    options: Mapping[str, str],
    reader: FrameReader | None = None,
    *,
    replace: bool = False,
) -> list[str]:
    """Write a store in another format, validated, whole or not at all.

    Args:
        name: Export format.
        store: Where the features are.
        destination: File or folder to make; must not exist, unless it is replaced.
        options: The format's own options as text; see `merflow formats NAME`.
        reader: Decodes clips, for options that need video frames.
        replace: Whether an export of the same format that is there is swapped for the new one, once that is whole.

    Returns:
        Lines that tell a person what was written and what was left out.

    Raises:
        RunError: If the format, an option or a feature does not exist, the destination does, a feature is synthetic
            and that was not allowed, or the format's own rules are not met. Nothing is written then.
        StoreError: If the validator finds fault with what was written; nothing is left of it.
    """
    exporter_class = EXPORTERS.load(name)
    checked = parse(exporter_class.Options, dict(options), f"format {name}", "option")
    if destination.exists():
        _check_replaced(exporter_class, destination, may_replace=replace)
    if checked.stale == "omit":
        store = FeatureStore(store.path)  # of this export's own: stale values are hidden in it
    whole = store
    store, ids, chosen = choose(whole, checked)
    store, named = named_by_corpus(store)
    exporter = exporter_class(store, checked)
    features = exporter.features()
    if not features:
        raise RunError(f"{store.path}: holds no features to export")
    if not checked.allow_synthetic:
        _refuse_synthetic(store, features)
    stale = settle_stale(whole, features, checked.stale, None if ids is None else set(ids))
    with publish(destination) as temporary:
        lines = chosen + named + stale + exporter.write(temporary, describe_provenance(name, store, features, options))
        lines += exporter.write_frames(temporary, reader)
        refuse_invalid(exporter.validate(temporary), name)
        mixed = {feature: mixed_versions(store.versions(feature)) for feature in features}
        return lines + [f"{feature}: made with several versions: {text}" for feature, text in mixed.items() if text]


def _check_replaced(exporter: type[Exporter[ExportOptions]], destination: Path, *, may_replace: bool) -> None:
    """Refuse to write over anything but an export of this format, and over that too where nobody asked for it."""
    if not may_replace:
        raise RunError(
            f"{destination}: exists already; choose a new name, or --replace swaps an export of the same format"
        )
    if provenance_format(destination) != exporter.name:
        raise RunError(f"{destination}: not replaced, for nothing in it says that it is an export as {exporter.name}")


def _refuse_synthetic(store: FeatureStore, features: Sequence[str]) -> None:
    synthetic = [name for name in features if store.specs[name].synthetic]
    if synthetic:
        raise RunError(
            f"{store.path}: {', '.join(synthetic)}: made with random weights, such numbers mean nothing; "
            f"to export them all the same: --opt allow_synthetic=true"
        )

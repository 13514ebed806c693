"""Exporters, one module each (see `Exporter`). A new module here is found by its name."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from storage.atomic import publish
from storage.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from storage.records import Clip
    from storage.store import FeatureStore

    Rgb = npt.NDArray[np.uint8]

__all__ = ["Exporter", "PictureReader", "export", "exporter_module", "exporter_names"]

ALLOW = "allow_synthetic"


class Exporter(Protocol):
    """What a module of this package offers.

    Attributes:
        OPTIONS: What each of its options means, by name.
    """

    __doc__: str | None
    OPTIONS: Mapping[str, str]

    def features_of(self, store: FeatureStore, options: Mapping[str, str]) -> list[str]:
        """Features of the store that the export is made of, checked to exist."""

    def write(self, store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
        """Write everything to `destination`, which does not exist yet; give lines that tell a person what it is.

        `provenance` is JSON text and must be kept inside the export.
        """


class PictureReader(Protocol):
    """Decodes clips for the few options that need pictures: storage itself opens no media."""

    def pictures(self, clip: Clip, root: Path) -> Iterator[Rgb]:
        """A clip's pictures in order, (height, width, 3) uint8, upright; the rows of per-picture features count them.

        Raises:
            ClipError: Why they cannot be read.
        """

    def face(self, picture: Rgb, box: npt.NDArray[Any], size: int) -> Rgb:
        """Cut the (size, size, 3) square around a face's box x1, y1, x2, y2 in pixels out of a picture."""


def exporter_names() -> list[str]:
    """Names of the export formats, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def exporter_module(name: str) -> Exporter:
    """The module of an export format.

    Raises:
        RunError: If there is none of this name; lists the valid ones.
    """
    if name not in exporter_names():
        raise RunError(f"unknown format {name!r}; formats: {', '.join(exporter_names())}")
    return cast("Exporter", import_module(f"{__name__}.{name}"))


def export(
    name: str,
    store: FeatureStore,
    destination: Path,
    options: Mapping[str, str],
    reader: PictureReader | None = None,
) -> list[str]:
    """Write a store in another format, checked by the format's own validator, whole or not at all.

    Args:
        name: Export format.
        store: Where the features are.
        destination: File or folder to make; must not exist.
        options: The format's own options, and `allow_synthetic=true` to export features made with random weights.
        reader: Decodes clips, for options that need pictures.

    Returns:
        Lines that tell a person what was written and what was left out.

    Raises:
        RunError: If the format, an option or a feature does not exist, the destination does, a feature is synthetic
            and that was not allowed, or the format's own rules are not met. Nothing is written then.
        StoreError: If the validator finds fault with what was written; nothing is left of it.
    """
    from storage.exporters._base import choice, provenance, refuse_synthetic, refuse_unknown
    from storage.exporters._check import refuse

    exporter = exporter_module(name)
    refuse_unknown(options, [*exporter.OPTIONS, ALLOW], name)
    if destination.exists():
        raise RunError(f"{destination}: exists already; an export never overwrites, choose a new name")
    features = exporter.features_of(store, options)
    if not features:
        raise RunError(f"{store.path}: holds no features to export")
    if choice(options, ALLOW, ("false", "true")) == "false":
        refuse_synthetic(store, features)
    with publish(destination) as temporary:
        lines = exporter.write(store, temporary, options, provenance(name, store, features, options))
        # Two parts that a format may lack: pictures decoded from the media, and a validator.
        if (write_pictures := getattr(exporter, "write_pictures", None)) is not None:
            lines += write_pictures(store, temporary, options, reader)
        if (check := getattr(exporter, "check", None)) is not None:
            refuse(check(temporary), name)
        return lines

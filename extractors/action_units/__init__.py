"""Action units, gaze, head pose, landmarks, emotion and blendshapes of the main face, by py-feat's multitask network.

Cheong et al., "Py-Feat: Python Facial Expression Analysis Toolbox", Affective Science 4, 2023. The network is what
py-feat's `Detectorv2` runs (ConvNeXt-V2 with the AU heads of Luo et al., "Learning Multi-dimensional Edge Feature-based
AU Relation Graph", IJCAI 2022); given the same boxes it gives the same numbers. Columns: OpenFace 2.2's, computed from
it (`storage.vocabulary.openface_columns`), then py-feat's own with `feat_` before their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from configs.plugins import Section
from configs.weights import Weights
from extractors.action_units.face_crops import CHIP, EXPAND, INPUT, Float32, cut_face, face_square
from extractors.action_units.network import FaceNetwork, split_heads
from extractors.action_units.openface_formulas import openface_values
from extractors.action_units.pyfeat_columns import FEAT_COLUMNS, FEAT_UNITS, feat_values
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.batching import Batcher
from extractors.core.networks.pyfeat import HUB_FILE, feat_module, find_weights
from extractors.core.networks.weights import ResolvedWeights
from storage.errors import ClipError
from storage.records import Failure, Features, FeatureSpec
from storage.vocabulary.face_columns import FACES, main_face_boxes
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS, OPENFACE_UNITS

if TYPE_CHECKING:
    import torch

CLIPS_ON_GPU = 16  # short clips fill a batch only together
FACE_BYTES = 3 * INPUT * INPUT * 4


class ActionUnitsOptions(Section):
    """Options of the network.

    Attributes:
        weights: py-feat's checkpoint: a Hugging Face repository that holds `face_multitask_v28.safetensors`, a local
            file in that format or the folder it is in, or a seed.
        precision: `float32`, or `bf16`: the mixed precision that py-feat itself uses on GPUs (action units within 0.01
            of float32, by its own comment).
        compile: Let `torch.compile` rewrite the network when it is loaded, and log what that did to the numbers: 1.1
            to 1.6 times as fast on a CPU (more with AVX-512), after a minute; needs a C++ compiler. Refused above a
            difference of 1e-4.
        batch_size: Faces in one pass, None for the fastest on the device (4 on a CPU, 64 on a GPU); changes speed only.
    """

    weights: Weights = Weights(hub="py-feat/face_multitask_v2")
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    batch_size: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _compiled_in_float32(self) -> Self:
        if self.compile and self.precision != "float32":
            raise ValueError("compile: in float32 only; compiled bf16 moves action units by 0.16, as py-feat measured")
        return self


@dataclass(slots=True, eq=False)
class _ClipRows:
    """A clip's rows as they are filled; `values` is NaN where there is no face or none yet."""

    media: Media
    values: Float32
    valid: npt.NDArray[np.bool_]
    error: ClipError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    clip: _ClipRows
    row: int
    pixels: Float32  # (3, 224, 224), 0..1
    square: Float32  # left, top, side of the crop in pixels of the frame
    size: tuple[int, int]  # width, height of the frame


class ActionUnits(Extractor[ActionUnitsOptions]):
    """Main face of every frame through py-feat's network; a row is valid where the frame has a face."""

    name = "action_units"
    Options = ActionUnitsOptions
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pillow", "py-feat", "torch")
    modality: ClassVar[Literal["video"]] = "video"
    weight_files = (HUB_FILE,)
    licence = "py-feat: MIT; its weights: non-commercial research (LICENSES/PYFEAT-V2.md of py-feat)"
    _on_gpu = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The faces."""
        return (FACES,)

    def describe(self) -> FeatureSpec:
        """OpenFace's 669 columns and py-feat's 1523, one row per frame.

        Raises:
            RunError: If the weights are not on this machine, or the detector is not.
        """
        crop = {"crop": CHIP, "expand": EXPAND}
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=OPENFACE_COLUMNS + FEAT_COLUMNS,
            units=OPENFACE_UNITS + FEAT_UNITS,
            recipe=crop | {"compile": self.options.compile},
            weights=self._weights.identity,
            precision=self.options.precision,
            source=f"py-feat {metadata.version('py-feat')}",
            synthetic=self._weights.synthetic,
        )

    @property
    def clips_at_once(self) -> int:
        """16 on a GPU; on a CPU one clip fills the batches of 4."""
        return CLIPS_ON_GPU if self._on_gpu else 1

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return find_weights(self.options.weights)

    def load(self, device: str) -> None:
        """Build the network with py-feat's own loader.

        Raises:
            RunError: If the weights are not on this machine, are damaged or do not fit, or compiling changes too much.
        """
        options = self.options
        self._on_gpu = not device.startswith("cpu")
        self._points68: list[int] = feat_module("utils.blendshape_to_au").DLIB68_FROM_MP478
        self._network = FaceNetwork(
            self._weights,
            device,
            precision=options.precision,
            compiled=options.compile,
            batch_size=options.batch_size,
        )
        self._batcher = Batcher[_Face, "torch.Tensor"](
            self._run,
            cost=lambda _: 1,
            budget=self._network.batch_size,
            size=lambda face: face.pixels.nbytes,
            window_bytes=self._network.batch_size * FACE_BYTES,
        )

    def close(self) -> None:
        """Free the network."""
        if self.loaded:
            self._network.free()
            self.loaded = False

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Run the network on the main face of each frame that has one.

        Batches run on from clip to clip; a clip that fails takes no other with it. Frames are streamed: two batches
        of faces are held, of which the second is cut while a GPU works on the first.
        """
        clips = [_ClipRows(media, np.empty((0, 0), np.float32), np.empty(0, np.bool_)) for media in batch]
        for faces, outputs in self._batcher.stream(self._faces(clips)):
            self._finish(faces, outputs)
            del faces, outputs  # or this loop would hold them while the next ones are cut
        return [self._result(clip) for clip in clips]

    def _run(self, faces: list[_Face]) -> list[torch.Tensor]:
        with self.timed("model"):
            return self._network([face.pixels for face in faces])

    def _faces(self, clips: Sequence[_ClipRows]) -> Iterator[_Face]:
        for clip in clips:
            try:
                yield from self._faces_of(clip)
            except ClipError as error:
                clip.error = error

    def _faces_of(self, clip: _ClipRows) -> Iterator[_Face]:
        clip.media.frame_times()  # raises the reason why there are no frames
        faces = clip.media.feature(FACES)
        clip.valid, boxes = faces.valid, main_face_boxes(faces)
        clip.values = np.full((len(clip.valid), len(self.spec.columns)), np.nan, dtype=np.float32)
        for frame in clip.media.frames():
            if clip.valid[frame.index]:
                with self.timed("prepare"):
                    square = face_square(boxes[frame.index])
                    pixels = cut_face(frame.rgb(), square)
                yield _Face(clip, frame.index, pixels, square, frame.size)

    def _finish(self, faces: Sequence[_Face], outputs: Sequence[torch.Tensor | ClipError]) -> None:
        """Put what the network gave for some faces into their clips; on a GPU this waits for it."""
        import torch

        done, rows = [], []
        for face, row in zip(faces, outputs, strict=True):
            if isinstance(row, ClipError):
                face.clip.error = row
            else:
                done.append(face)
                rows.append(row)
        if not done:
            return
        with self.timed("model"):
            table = torch.stack(rows).cpu().numpy()
        with self.timed("columns"):
            for face, values in zip(done, self._columns(done, table), strict=True):
                face.clip.values[face.row] = values

    def _columns(self, faces: Sequence[_Face], table: Float32) -> npt.NDArray[np.float64]:
        heads = split_heads(table)
        squares = np.array([face.square for face in faces], dtype=np.float64)
        mesh = heads["mesh"] * squares[:, None, 2:]
        mesh[..., :2] += squares[:, None, :2]
        sizes = np.array([face.size for face in faces], dtype=np.float64)
        openface = openface_values(
            mesh=mesh, sizes=sizes, pose=heads["pose"], gaze=heads["gaze"], aus=heads["p_au"], face=self._points68
        )
        return np.concatenate([openface, feat_values(heads, mesh)], axis=1)

    def _result(self, clip: _ClipRows) -> Features | Failure:
        try:
            if clip.error is not None:
                raise clip.error
            return self.checked(clip.values, clip.media.frame_times(), clip.valid)
        except ClipError as error:
            return self.failure(clip.media, error)

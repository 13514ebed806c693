"""Action units, gaze, head pose, landmarks, emotion and blendshapes of the main face, by py-feat's multitask network.

Cheong et al., "Py-Feat: Python Facial Expression Analysis Toolbox", Affective Science 4, 2023. The network is what
py-feat's `Detectorv2` runs (ConvNeXt-V2 with the AU heads of Luo et al., "Learning Multi-dimensional Edge Feature-based
AU Relation Graph", IJCAI 2022); given the same boxes it gives the same numbers. Columns: OpenFace 2.2's, computed from
it (`extractors.core.openface_columns`), then py-feat's own with `feat_` before their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.schema import Weights
from extractors.core.base import Extractor, Options
from extractors.core.faces import face_track, recipe
from extractors.core.media import Media
from extractors.core.openface_columns import FEAT_AUS, OPENFACE_COLUMNS, OPENFACE_UNITS, openface_values
from extractors.core.pyfeat import HUB_FILE, feat_module, find_weights, load_network
from extractors.core.weights import ResolvedWeights
from storage.records import Features, FeatureSpec

CROP, EXPAND = 256, 1.2  # py-feat's, which the network was trained on


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EMOTIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
BLENDSHAPES = _words(
    """_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
    cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight
    eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight
    jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight
    mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft
    mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight"""
)
_FEAT_BLOCKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (FEAT_AUS, "0..1"),
    (EMOTIONS, "0..1"),
    (("valence", "arousal"), "-1..1"),
    (("gaze_pitch", "gaze_yaw"), "rad"),
    (("Pitch", "Roll", "Yaw"), "rad"),
    (("X", "Y", "Z"), ""),
    (tuple(f"mesh_{axis}_{i}" for axis in "xy" for i in range(478)), "px"),
    (tuple(f"mesh_z_{i}" for i in range(478)), "crop side"),
    (BLENDSHAPES, "0..1"),
)
FEAT_COLUMNS = tuple(f"feat_{name}" for names, _ in _FEAT_BLOCKS for name in names)
FEAT_UNITS = tuple(unit for names, unit in _FEAT_BLOCKS for _ in names)


class ActionUnitsOptions(Options):
    """Settings of the network.

    Attributes:
        weights: py-feat's checkpoint: a Hugging Face repository that holds `face_multitask_v28.safetensors`, a local
            file in that format or the folder it is in, or a seed.
        batch_size: Faces in one pass; changes speed only.
    """

    weights: Weights = Weights(hub="py-feat/face_multitask_v2")
    batch_size: int = Field(default=4, ge=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    row: int
    chip: Any  # (1, 3, 256, 256) float32 tensor, 0..1
    square: npt.NDArray[np.float64]  # left, top, side of the crop in pixels
    size: tuple[int, int]  # width, height of the picture


class ActionUnits(Extractor[ActionUnitsOptions]):
    """Main face of every picture through py-feat's network; a row is valid where the picture has a face."""

    Options = ActionUnitsOptions
    modality: ClassVar[Literal["video"]] = "video"
    weight_files = (HUB_FILE,)
    licence = "py-feat: MIT; its weights: non-commercial research (LICENSES/PYFEAT-V2.md of py-feat)"

    @cached_property
    def spec(self) -> FeatureSpec:
        """OpenFace's 669 columns and py-feat's 1523, one row per picture.

        Raises:
            RunError: If the weights are not on this machine, or the detector is not.
        """
        return FeatureSpec(
            name=self.feature,
            extractor="action_units",
            modality="video",
            level="frame",
            columns=OPENFACE_COLUMNS + FEAT_COLUMNS,
            units=OPENFACE_UNITS + FEAT_UNITS,
            recipe={"faces": recipe(self.faces), "crop": CROP, "expand": EXPAND},
            weights=self._weights.identity,
            source=f"py-feat {metadata.version('py-feat')}",
            synthetic=self._weights.synthetic,
        )

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return find_weights(self.options.weights)

    def load(self, device: str) -> None:
        """Build the network with py-feat's own loader, in float32.

        Raises:
            RunError: If the weights are not on this machine, are damaged or do not fit.
        """
        import torch

        self._points68: list[int] = feat_module("utils.blendshape_to_au").DLIB68_FROM_MP478
        self._network = load_network(self._weights, device)
        self._network.model.to(memory_format=torch.channels_last)  # twice as fast on the CPU

    def extract_clip(self, media: Media) -> Features:
        """Run the network on the main face of each picture that has one.

        Raises:
            ClipError: If the clip has no pictures.
        """
        valid = face_track(media, self.faces).valid
        values = np.full((len(valid), len(OPENFACE_COLUMNS + FEAT_COLUMNS)), np.nan, dtype=np.float32)
        for faces in self._batches(media):
            values[[face.row for face in faces]] = self._values(faces)
        return self.checked(values, media.frame_times(), valid)

    def _batches(self, media: Media) -> Iterator[list[_Face]]:
        track, batch = face_track(media, self.faces), list[_Face]()
        for frame in media.frames():
            if track.valid[frame.index]:
                batch.append(_cut(frame.index, frame.rgb(), track.boxes[frame.index]))
            if len(batch) == self.options.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _values(self, faces: list[_Face]) -> npt.NDArray[np.float64]:
        import torch

        out = self._network(torch.cat([face.chip for face in faces]))
        squares = np.array([face.square for face in faces])
        mesh = out.mesh478.astype(np.float64) * squares[:, None, 2:]
        mesh[..., :2] += squares[:, None, :2]
        sizes = np.array([face.size for face in faces], dtype=np.float64)
        openface = openface_values(
            mesh=mesh, sizes=sizes, pose=out.pose, gaze=out.gaze, aus=out.au, face=self._points68
        )
        return np.concatenate([openface, _feat_values(out, mesh)], axis=1)


def _feat_values(out: Any, mesh: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 1523) py-feat's own columns, with the signs that its Detectorv2 gives them."""
    gaze = np.stack([-out.gaze[:, 1], out.gaze[:, 0]], axis=1)
    turn = np.stack([-out.pose[:, 0], -out.pose[:, 2], out.pose[:, 1]], axis=1)
    affect = np.stack([out.valence, out.arousal], axis=1)
    axes = [mesh[..., 0], mesh[..., 1], out.mesh478[..., 2]]
    return np.concatenate([out.au, out.emotion, affect, gaze, turn, out.pose[:, 3:], *axes, out.blendshapes], axis=1)


def _cut(row: int, rgb: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> _Face:
    import torch

    crop = feat_module("utils.image_operations").extract_face_square_pad_torch
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    chip, square = crop(picture, torch.from_numpy(box)[None], CROP, EXPAND)
    return _Face(row, chip, square[0].double().numpy(), (rgb.shape[1], rgb.shape[0]))

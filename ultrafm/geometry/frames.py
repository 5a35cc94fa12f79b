"""Where the scan lies in each picture of a batch: a sector or a rectangle, in pixels, as tensors on any device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ultrafm.errors import UltraFMError

Pair = tuple[torch.Tensor, torch.Tensor]
Convert = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Pair]  # numbers, (6, B, 1, ...), and two coordinates
THIN = 1e-3  # pixels that a scan is at least wide and deep, so that a single row of pixels divides nothing by zero


@dataclass(frozen=True)
class ScanFrames:
    """Where the scan lies in each picture of a batch, in pixels counted from 0; a whole number is a pixel's centre.

    curved: (B,) bool, is it a sector? numbers: (B, 6) float32; of a sector the column and row of its apex, inner and
    outer radius in pixels, left and right angle in degrees (as `SectorInPixels`); of a rectangle the left column, top
    row, right column and bottom row, the centres of its outermost pixels, and two zeros.

    Depth runs from 0 at the skin to 1 at the end, a line from 0 (left as the viewer sees it) to 1 (right).
    """

    curved: torch.Tensor
    numbers: torch.Tensor

    def __len__(self) -> int:
        return len(self.curved)

    def __getitem__(self, rows: torch.Tensor | slice) -> ScanFrames:
        """The frames of some pictures: their numbers, a slice, or True for each that is wanted."""
        return ScanFrames(self.curved[rows], self.numbers[rows])

    def to(self, device: torch.device | str) -> ScanFrames:
        """The same frames on another device."""
        return ScanFrames(self.curved.to(device), self.numbers.to(device))

    def replaced(self, rows: torch.Tensor, frames: ScanFrames) -> ScanFrames:
        """These frames with those of the pictures `rows` (whole numbers) taken from `frames` instead, in that order."""
        return ScanFrames(
            self.curved.index_copy(0, rows, frames.curved), self.numbers.index_copy(0, rows, frames.numbers)
        )

    def depths(self) -> torch.Tensor:
        """Pixels from the skin to the deepest scanned point along a line: (B,) float32."""
        return torch.where(
            self.curved, self.numbers[:, 3] - self.numbers[:, 2], self.numbers[:, 3] - self.numbers[:, 1]
        )

    def widths(self) -> torch.Tensor:
        """Pixels from the left line to the right one at half of the depth: (B,) float32; along the arc of a sector."""
        arcs = (self.numbers[:, 5] - self.numbers[:, 4]).deg2rad() * (self.numbers[:, 2] + self.numbers[:, 3]) / 2
        return torch.where(self.curved, arcs, self.numbers[:, 2] - self.numbers[:, 0])

    def to_unit(self, columns: torch.Tensor, rows: torch.Tensor) -> Pair:
        """Depth and line of points, (B, ...) each, in [0, 1] inside the scan; the inverse of `to_pixels`.

        `columns` and `rows` are float32 in pixels, (B, ...) or (1, ...), of shapes that broadcast.
        """
        return self._by_shape(_sector_to_unit, _rectangle_to_unit, columns, rows)

    def to_pixels(self, depth: torch.Tensor, line: torch.Tensor) -> Pair:
        """Columns and rows, (B, ...) each, of points given as depth and line; the inverse of `to_unit`."""
        return self._by_shape(_sector_to_pixels, _rectangle_to_pixels, depth, line)

    def zoomed(self, side: torch.Tensor, shift: torch.Tensor, mirror: torch.Tensor, size: int) -> ScanFrames:
        """The frames after each picture (`size` pixels wide and high) was cropped to a square, enlarged and mirrored.

        side: (B,) side of the square as a share of the picture's, above 0. shift: (B, 2) middle of the square, right
        and down of the picture's middle, as a share of half its side. mirror: (B,) -1 where left and right are
        exchanged after the crop, else 1. These are the numbers that `augmentation.random_crop_and_flip` draws.
        """
        middle, (right, down) = (size - 1) / 2, (shift * (size / 2)).unbind(1)
        first, second, third, fourth, left, end = self.numbers.unbind(1)

        def column(place: torch.Tensor) -> torch.Tensor:
            return mirror * (place - middle - right) / side + middle

        def row(place: torch.Tensor) -> torch.Tensor:
            return (place - middle - down) / side + middle

        sides = torch.where(mirror < 0, torch.stack([-end, -left]), torch.stack([left, end]))
        sectors = torch.stack([column(first), row(second), third / side, fourth / side, *sides], 1)
        ends = torch.stack([column(first), column(third)])
        zeros = torch.zeros_like(first)
        rectangles = torch.stack([ends.amin(0), row(second), ends.amax(0), row(fourth), zeros, zeros], 1)
        return ScanFrames(self.curved, torch.where(self.curved[:, None], sectors, rectangles))

    def _by_shape(self, of_sectors: Convert, of_rectangles: Convert, first: torch.Tensor, second: torch.Tensor) -> Pair:
        """One function for the sectors, another for the rectangles of the batch."""
        batch = self.curved.reshape(-1, *[1] * (max(first.ndim, second.ndim) - 1))
        first, second, _batch = torch.broadcast_tensors(first, second, batch)
        made = first.new_empty(first.shape), first.new_empty(first.shape)
        for chosen, convert in ((self.curved, of_sectors), (~self.curved, of_rectangles)):
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                numbers = self.numbers[rows].T.reshape(6, -1, *[1] * (first.ndim - 1))
                for whole, part in zip(made, convert(numbers, first[rows], second[rows])):
                    whole[rows] = part
        return made


def _sector_to_unit(numbers: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> Pair:
    apex_column, apex_row, inner, outer, left, right = numbers
    across, down = columns - apex_column, rows - apex_row
    angle = torch.atan2(across, down) * (180 / math.pi)
    return (torch.hypot(across, down) - inner) / (outer - inner), (angle - left) / (right - left)


def _sector_to_pixels(numbers: torch.Tensor, depth: torch.Tensor, line: torch.Tensor) -> Pair:
    apex_column, apex_row, inner, outer, left, right = numbers
    angle = (left + line * (right - left)) * (math.pi / 180)
    radius = inner + depth * (outer - inner)
    return apex_column + radius * angle.sin(), apex_row + radius * angle.cos()


def _rectangle_to_unit(numbers: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> Pair:
    left, top, right, bottom = numbers[:4]
    return (rows - top) / (bottom - top).clamp(min=THIN), (columns - left) / (right - left).clamp(min=THIN)


def _rectangle_to_pixels(numbers: torch.Tensor, depth: torch.Tensor, line: torch.Tensor) -> Pair:
    left, top, right, bottom = numbers[:4]
    return left + line * (right - left), top + depth * (bottom - top)


def frames_of(sectors: np.ndarray, geometry: Sequence[Sequence[float] | None]) -> tuple[np.ndarray, np.ndarray]:
    """`curved` (N,) bool and `numbers` (N, 6) float32 of `ScanFrames` for N curated pictures.

    `sectors` (N, S, S) bool, True inside the scan; `geometry` the N cells of the store's column `sector_geometry`: six
    numbers, or None where no sector was found. There the scan's bounding box is taken for a rectangle, and the whole
    picture where nothing of it is scanned. Raises UltraFMError when the numbers of pictures and cells differ.
    """
    if len(sectors) != len(geometry):
        raise UltraFMError("frames_of", f"{len(sectors)} pictures and {len(geometry)} sectors", "as many of each")
    curved = np.array([cell is not None for cell in geometry], dtype=bool)
    numbers = np.zeros((len(sectors), 6), dtype=np.float32)
    (numbers[:, 0], numbers[:, 2]), (numbers[:, 1], numbers[:, 3]) = (_ends(sectors.any(axis)) for axis in (1, 2))
    if curved.any():
        numbers[curved] = np.array([cell for cell in geometry if cell is not None], dtype=np.float32)
    return curved, numbers


def _ends(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last True of each row of (N, S) bool; 0 and S - 1 where there is none."""
    return seen.argmax(1), seen.shape[1] - 1 - seen[:, ::-1].argmax(1)

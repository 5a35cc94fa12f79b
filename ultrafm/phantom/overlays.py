"""What a scanner writes around and over the picture: text, scale, logo, calipers, tint.

Overlays know the device, the organ and a generator of their own. They never see the label or the lesion, so that
nothing burnt into the picture can give the diagnosis away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ultrafm.geometry import Placement
from ultrafm.manifests.schema import Device

TINTS = {"sepia": (1.0, 0.93, 0.76), "blue": (0.80, 0.91, 1.0)}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Frame:
    """The scan's part of a picture: rows from `top` and columns up to `right`, leaving margins for text and scale."""

    top: int
    right: int
    height: int
    width: int

    @property
    def scan_height(self) -> int:
        return self.height - self.top

    @property
    def scan_width(self) -> int:
        return self.right


def frame_of(device: Device) -> Frame:
    """The margins that a device keeps for its overlays."""
    top = 18 if {"text", "logo"} & set(device.overlays) else 0
    right = device.picture_width - (20 if "scale" in device.overlays else 0)
    return Frame(top, right, device.picture_height, device.picture_width)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def to_image(picture: np.ndarray, tint: str) -> Image.Image:
    """An 8-bit image, grey or RGB, from values between 0 and 1; a grey picture takes the device's tint."""
    if picture.ndim == 2 and tint in TINTS:
        picture = picture[..., None] * np.array(TINTS[tint], np.float32)
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))


def _draw_text(
    pen: ImageDraw.ImageDraw, device: Device, institution: str, organ: str, generator: np.random.Generator, ink: object
) -> None:
    """Institution, invented date and examination number above; frequency at the left; in most, organ and side."""
    frame = frame_of(device)
    left = 20 if "logo" in device.overlays else 3
    day, month, year = generator.integers(1, 29), _MONTHS[generator.integers(12)], generator.integers(2041, 2049)
    title = institution.replace("(fictional)", "").strip().upper()[:28]
    pen.text((left, 1), f"{title}  {day:02d} {month} {year}  EX{generator.integers(10_000, 99_999)}", ink, _font(9))
    pen.text((3, frame.top + 2), f"{device.frequency_mhz:g}M {device.depth_mm / 10:g}cm", ink, _font(8))
    side = generator.choice(["R", "L", ""])
    if generator.random() < 0.7:
        place = generator.uniform(0.05, 0.45) * device.picture_width
        pen.text((place, device.picture_height - 15), f"{organ.upper()} {side}".strip(), ink, _font(10))


def _draw_scale(pen: ImageDraw.ImageDraw, device: Device, place: Placement, ink: object) -> None:
    """Ticks for each centimetre down the right side, longer every five, and the focus as an arrow head."""
    frame = frame_of(device)
    column, skin = frame.right + 8, frame.top + place.origin_row
    for centimetre in range(int(device.depth_mm // 10) + 1):
        row = skin + centimetre * 10 / place.mm_per_pixel
        pen.line([(column, row), (column + (6 if centimetre % 5 == 0 else 3), row)], ink)
    focus = skin + device.focus_mm / place.mm_per_pixel
    pen.polygon([(column - 5, focus - 3), (column - 5, focus + 3), (column - 1, focus)], ink)


def _draw_calipers(pen: ImageDraw.ImageDraw, device: Device, generator: np.random.Generator, ink: object) -> None:
    """In some pictures two crosses and a length: at a place drawn by chance, for what was measured is not our label."""
    if generator.random() < 0.4:
        return
    frame = frame_of(device)
    middle = generator.uniform((0.35, 0.35), (0.65, 0.7)) * (frame.scan_width, frame.scan_height) + (0, frame.top)
    angle, half = generator.uniform(0, np.pi), generator.uniform(0.06, 0.14) * frame.scan_width
    for sign in (-1, 1):
        x, y = middle + sign * half * np.array([np.cos(angle), np.sin(angle)])
        pen.line([(x - 3, y), (x + 3, y)], ink)
        pen.line([(x, y - 3), (x, y + 3)], ink)
    pen.text((3, device.picture_height - 14), f"+ {generator.uniform(5, 40):.1f} mm", ink, _font(9))


def _draw_logo(pen: ImageDraw.ImageDraw, ink: object) -> None:
    pen.ellipse([3, 3, 15, 15], outline=ink)
    pen.arc([6, 6, 12, 16], 180, 360, fill=ink)
    pen.line([(9, 3), (9, 9)], ink)


def draw_overlays(
    device: Device, colour: bool, institution: str, organ: str, place: Placement, generator: np.random.Generator
) -> Image.Image:
    """The device's overlays on black, in the mode (grey or `colour`) of the pictures that they are laid over.

    `place` is where the scan lies in its part of the picture.
    """
    mode = "RGB" if colour or device.tint in TINTS else "L"
    image = Image.new(mode, (device.picture_width, device.picture_height))
    pen = ImageDraw.Draw(image)
    ink: object = 235 if mode == "L" else (235, 235, 235)
    mark: object = 235 if mode == "L" else (235, 220, 90)
    if "text" in device.overlays:
        _draw_text(pen, device, institution, organ, generator, ink)
    if "logo" in device.overlays:
        _draw_logo(pen, ink)
    if "scale" in device.overlays:
        _draw_scale(pen, device, place, ink)
    if "caliper" in device.overlays:
        _draw_calipers(pen, device, generator, mark)
    return image


def hidden(writing: Image.Image, frame: Frame) -> np.ndarray:
    """(rows, columns) bool: where the scan's part of the picture is hidden by writing."""
    ink = np.asarray(writing) > 0
    return (ink if ink.ndim == 2 else ink.any(axis=2))[frame.top :, : frame.right]


def laid_over(picture: Image.Image, writing: Image.Image) -> Image.Image:
    """The picture with the writing over it; writing is opaque, as scanners burn it in."""
    ink = np.asarray(writing)
    drawn = ink > 0 if ink.ndim == 2 else (ink > 0).any(axis=2, keepdims=True)
    return Image.fromarray(np.where(drawn, ink, np.asarray(picture)))

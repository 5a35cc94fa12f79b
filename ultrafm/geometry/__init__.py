"""Scan conversion between beams and pictures: in millimetres for known devices, in pixels for sectors found in them."""

from ultrafm.geometry.conversion import to_beams, to_picture
from ultrafm.geometry.pixels import SectorInPixels
from ultrafm.geometry.shapes import CurvedGeometry, Geometry, LinearGeometry, Placement, fit

__all__ = [
    "CurvedGeometry", "Geometry", "LinearGeometry", "Placement", "SectorInPixels", "fit", "to_beams", "to_picture",
]  # fmt: skip

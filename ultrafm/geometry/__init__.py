"""Scan conversion between the probe's beams and the rectangular picture; numpy and scipy only."""

from ultrafm.geometry.conversion import to_beams, to_picture
from ultrafm.geometry.shapes import CurvedGeometry, Geometry, LinearGeometry, Placement, fit

__all__ = ["CurvedGeometry", "Geometry", "LinearGeometry", "Placement", "fit", "to_beams", "to_picture"]

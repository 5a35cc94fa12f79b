"""Benchmarks of the geometry: scan conversion in both directions and finding the scan area, each beside a reference."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from ultrafm.curation.sector import find_scan_area
from ultrafm.geometry.sectors import (
    fitting_sector,
    rectangle_map,
    rectangle_to_sector,
    sector_map,
    sector_to_rectangle,
)
from ultrafm.seeds import spawn

REPEATS = 41


def textured(height: int, width: int) -> np.ndarray:
    """A picture (height, width) uint8 of coarse noise, nowhere dark."""
    coarse = spawn(0, "bench geometry").integers(40, 220, (height // 8, width // 8), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def labelled_fan(height: int, width: int) -> np.ndarray:
    """A convex scan on black with a line of text above and a scale beside it."""
    sector = fitting_sector(height - 60, width - 100, 66, 0.25).moved(-40, -50)
    inside = sector.inside(np.arange(width), np.arange(height))
    picture = np.where(inside, textured(height, width), 0).astype(np.uint8)
    cv2.putText(picture, "GENERAL HOSPITAL  1960-01-01", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    picture[60:-20:40, -20:-10] = 255
    return picture


def labelled_rectangle(height: int, width: int) -> np.ndarray:
    """A linear scan on black with a line of text above it."""
    picture = np.zeros((height, width), np.uint8)
    picture[50:-60, 110:-110] = textured(height, width)[50:-60, 110:-110]
    cv2.putText(picture, "GENERAL HOSPITAL  1960-01-01", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    return picture


def in_turn(first: Callable[[], object], second: Callable[[], object]) -> dict[str, float]:
    """Median milliseconds of both, taken in turn, the least of the first, and the median of the ratios."""
    first(), second()
    times = np.empty((REPEATS, 2))
    for row in times:
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        row[:] = middle - start, time.perf_counter() - middle
    ours, reference = 1000 * np.median(times, axis=0)
    return {
        "milliseconds": float(ours), "least_milliseconds": float(1000 * times[:, 0].min()),
        "reference_milliseconds": float(reference), "ratio": float(np.median(times[:, 0] / times[:, 1])),
    }  # fmt: skip


def bench_geometry() -> dict:
    """Milliseconds on one thread for one picture: conversion at 480 x 640 beside turning the picture by an angle, which
    reads as many pixels at as many places; the first one of a new geometry; the scan area at 600 x 800 beside halving
    the picture."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {**_conversions(), **_scan_areas()}
    finally:
        cv2.setNumThreads(threads)


def _conversions() -> dict:
    picture, sector = textured(480, 640), fitting_sector(480, 640, 66, 0.25)
    turn = cv2.getRotationMatrix2D((320, 240), 20, 1.0)

    def turned() -> np.ndarray:
        return cv2.warpAffine(picture, turn, (640, 480))

    def new_rectangle() -> np.ndarray:
        rectangle_map.cache_clear()
        return sector_to_rectangle(picture, sector, 480, 640)

    def new_sector() -> np.ndarray:
        sector_map.cache_clear()
        return rectangle_to_sector(picture, sector, 480, 640)

    return {
        "sector_to_rectangle": in_turn(lambda: sector_to_rectangle(picture, sector, 480, 640), turned),
        "rectangle_to_sector": in_turn(lambda: rectangle_to_sector(picture, sector, 480, 640), turned),
        "sector_to_rectangle_new_geometry": in_turn(new_rectangle, turned),
        "rectangle_to_sector_new_geometry": in_turn(new_sector, turned),
    }


def _scan_areas() -> dict:
    found = {}
    for name, picture in (("fan", labelled_fan(600, 800)), ("rectangle", labelled_rectangle(600, 800))):
        halved = lambda picture=picture: cv2.resize(picture, (400, 300), interpolation=cv2.INTER_AREA)  # noqa: E731
        found[f"find_scan_area_{name}"] = in_turn(lambda picture=picture: find_scan_area(picture), halved)
    return found

"""Simulated readers: sonographers of stated skill, readers aided by an AI, and the model of Roe and Metz for trials."""

from ultrafm.readers.simulation.aided import Aid, simulate_aided
from ultrafm.readers.simulation.roe_metz import RoeMetz
from ultrafm.readers.simulation.sonographers import ReaderDesign, simulate_readers

__all__ = ["Aid", "ReaderDesign", "RoeMetz", "simulate_aided", "simulate_readers"]

"""Readers: the ratings table, simulated readers, and multi-reader multi-case (MRMC) statistics. No torch here."""

from ultrafm.readers.analyse import analyse, analyse_file
from ultrafm.readers.claims import Claim
from ultrafm.readers.endpoints import Endpoint
from ultrafm.readers.ratings import load_ratings, standalone_ratings
from ultrafm.readers.simulation import ReaderDesign, simulate_readers
from ultrafm.readers.summary import summarise

__all__ = [
    "Claim",
    "Endpoint",
    "ReaderDesign",
    "analyse",
    "analyse_file",
    "load_ratings",
    "simulate_readers",
    "standalone_ratings",
    "summarise",
]

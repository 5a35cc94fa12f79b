"""Simulated ultrasound with known truth: the study's default data. Every picture is labelled as simulated."""

from ultrafm.phantom.archive import archive_as_folder, write_archive

__all__ = ["archive_as_folder", "write_archive"]

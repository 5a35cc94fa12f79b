"""Reporting: records, the strict notebook runner, pages, figures, tables and the index of a study. No torch here."""

from ultrafm.reporting.records import merge_records, record, write_results

__all__ = ["merge_records", "record", "write_results"]

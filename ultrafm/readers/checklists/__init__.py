"""Reporting checklists (STARD-AI, CLAIM 2024, DECIDE-AI, TRIPOD+AI), filled from an analysis as far as it goes."""

from ultrafm.readers.checklists.fill import GUIDELINES, fill_checklist, study_facts

__all__ = ["GUIDELINES", "fill_checklist", "study_facts"]

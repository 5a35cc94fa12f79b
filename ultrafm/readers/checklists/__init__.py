"""Reporting checklists (STARD-AI, CLAIM 2024, DECIDE-AI, TRIPOD+AI), filled from an analysis as far as it goes."""

from ultrafm.readers.checklists.fill import GUIDELINES, checklist_page, fill_checklist, study_facts

__all__ = ["GUIDELINES", "checklist_page", "fill_checklist", "study_facts"]

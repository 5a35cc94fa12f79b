"""Controls: checks that can fail, such as what shortcuts, chance and a planted effect would show."""

from ultrafm.downstream.controls.figures import permutation_style, shortcut_figure, shortcut_style, site_style
from ultrafm.downstream.controls.origin import site_records, site_table
from ultrafm.downstream.controls.permutation import permutation_records, permutation_table, permutation_test
from ultrafm.downstream.controls.shortcuts import check_shortcuts, control_records

__all__ = [
    "check_shortcuts",
    "control_records",
    "permutation_records",
    "permutation_style",
    "permutation_table",
    "permutation_test",
    "shortcut_figure",
    "shortcut_style",
    "site_records",
    "site_style",
    "site_table",
]

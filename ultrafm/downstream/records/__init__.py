"""Records: from tables of predictions and scores to rows of results.json, for every measure of `metrics`.

Each has a row an encoder, a row for each difference of federated minus another encoder, and the average over tasks.
"""

from ultrafm.downstream.records.classes import class_records
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, Comparison, macro_comparison
from ultrafm.downstream.records.diagnosis import diagnosis_records, p_value_records
from ultrafm.downstream.records.groups import groups_of, subgroup_records
from ultrafm.downstream.records.measurement import measurement_records
from ultrafm.downstream.records.over_tasks import pooled_records, pooled_table
from ultrafm.downstream.records.probabilities import fixed_on_validation, probability_records
from ultrafm.downstream.records.reading import measures_table, p_value_table, records_table
from ultrafm.downstream.records.segmentation import segmentation_records

__all__ = [
    "MACRO_AVERAGE",
    "Comparison",
    "class_records",
    "diagnosis_records",
    "fixed_on_validation",
    "groups_of",
    "macro_comparison",
    "measurement_records",
    "measures_table",
    "p_value_records",
    "p_value_table",
    "pooled_records",
    "pooled_table",
    "probability_records",
    "records_table",
    "segmentation_records",
    "subgroup_records",
]

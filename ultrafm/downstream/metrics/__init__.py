"""Metrics: numbers, intervals and p-values from plain arrays of scores, truth and patients; no path, no table.

Several encoders are measured on the same images, so differences between them are paired. An interval says how the
number would vary over other patients, for the models as trained; it does not cover training again.
"""

from ultrafm.downstream.metrics.calibration import calibration_curve, calibration_error, fit_recalibration
from ultrafm.downstream.metrics.cases import Cases, Estimates, Interval
from ultrafm.downstream.metrics.classes import of_classes, predicted_classes
from ultrafm.downstream.metrics.decisions import call, choose_threshold, decision
from ultrafm.downstream.metrics.heterogeneity import heterogeneity, pool, standard_errors, subgroups
from ultrafm.downstream.metrics.intervals import holm, interval, p_value, score_limit
from ultrafm.downstream.metrics.means import brier, mean_value
from ultrafm.downstream.metrics.measurements import limits_of_agreement, measurement
from ultrafm.downstream.metrics.net_benefit import decision_curve, net_benefit
from ultrafm.downstream.metrics.overlap import overlap
from ultrafm.downstream.metrics.ranking import auprc, auroc, auroc_bootstrap, average_precision, weighted_auroc
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped, draw_patients

__all__ = [
    "Cases",
    "Estimates",
    "Interval",
    "Resampling",
    "auprc",
    "auroc",
    "auroc_bootstrap",
    "average_precision",
    "bootstrapped",
    "brier",
    "calibration_curve",
    "calibration_error",
    "call",
    "choose_threshold",
    "decision",
    "decision_curve",
    "draw_patients",
    "fit_recalibration",
    "heterogeneity",
    "holm",
    "interval",
    "limits_of_agreement",
    "mean_value",
    "measurement",
    "net_benefit",
    "of_classes",
    "overlap",
    "p_value",
    "pool",
    "predicted_classes",
    "score_limit",
    "standard_errors",
    "subgroups",
    "weighted_auroc",
]

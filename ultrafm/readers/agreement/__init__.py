"""Agreement of readers with each other: kappas, AC1, intraclass correlation, limits of agreement, with intervals."""

from ultrafm.downstream.limits import Limits, bland_altman
from ultrafm.readers.agreement.kappa import Agreement, cohen_kappa, fleiss_kappa, gwet_ac1
from ultrafm.readers.agreement.measurements import intraclass_correlation
from ultrafm.readers.agreement.table import agreement_page, agreement_table, limits_table

__all__ = [
    "Agreement",
    "Limits",
    "agreement_page",
    "agreement_table",
    "bland_altman",
    "cohen_kappa",
    "fleiss_kappa",
    "gwet_ac1",
    "intraclass_correlation",
    "limits_table",
]

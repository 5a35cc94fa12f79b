"""Power and sample size of a reader study: two modalities, or AI against readers; as function, table and figure."""

from ultrafm.readers.power.formulas import AgainstPilot, ModalityPilot, power_against, power_modalities
from ultrafm.readers.power.plan import cases_needed, pilot_from, power_figure, power_table, readers_needed, size_table

__all__ = [
    "AgainstPilot",
    "ModalityPilot",
    "cases_needed",
    "pilot_from",
    "power_against",
    "power_figure",
    "power_modalities",
    "power_table",
    "readers_needed",
    "size_table",
]

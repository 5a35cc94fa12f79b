"""Operating points: sensitivity and specificity at a threshold, pairs of them, and the AI at matched sensitivity."""

from ultrafm.readers.operating.matched import Matched, matched_specificity
from ultrafm.readers.operating.paired import PairedTest, paired_proportions
from ultrafm.readers.operating.table import operating_table, pair_table

__all__ = ["Matched", "PairedTest", "matched_specificity", "operating_table", "pair_table", "paired_proportions"]

"""Exchange: readings that were collected elsewhere come in, tables of results go out as CSV and LaTeX."""

from ultrafm.readers.exchange.exports import export_tables, latex_table, result_tables
from ultrafm.readers.exchange.imports import FORMS, from_imrmc, from_long, from_rjafroc, from_wide, to_imrmc

__all__ = [
    "FORMS",
    "export_tables",
    "from_imrmc",
    "from_long",
    "from_rjafroc",
    "from_wide",
    "latex_table",
    "result_tables",
    "to_imrmc",
]

"""Reading the tables that hospitals export: CSV with any of the usual separators and encodings, all cells as text."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from ultrafm.errors import UltraFMError


def read_spreadsheet(path: Path, where: str) -> pd.DataFrame:
    """All cells as text without spaces around them, empty rows left out; the index counts rows from 0 below the header.

    Comma, semicolon or tab between cells; UTF-8, or the Western code that spreadsheets write. Raises UltraFMError,
    beginning with `where`, for a file that is no table.
    """
    data = path.read_bytes()
    if b"\0" in data:
        found = "a file with zero bytes, as UTF-16 or a workbook has them"
        raise UltraFMError(where, found, "CSV in UTF-8 with the names of the columns in row 1", "save it as CSV, UTF-8")
    encoding = "utf-8-sig" if _is_utf8(data) else "cp1252"
    header = data.split(b"\n", 1)[0]
    separator = max(",;\t", key=lambda mark: header.count(mark.encode()))
    try:
        with warnings.catch_warnings():  # of cells beyond the last column, which would be dropped
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, sep=separator, encoding=encoding, dtype=str, keep_default_na=False, skip_blank_lines=False,
                index_col=False,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        found = f"a file that cannot be read as a table ({error})"
        raise UltraFMError(where, found, "CSV in UTF-8 with the names of the columns in row 1") from error
    table.columns = table.columns.str.strip()
    table = table.apply(lambda column: column.fillna("").str.strip())
    return table[(table != "").any(axis=1)]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

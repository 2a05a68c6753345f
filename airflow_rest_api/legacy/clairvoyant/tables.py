"""Tables as commands of Airflow 1 drew them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate


def drawn(headers: Sequence[str], rows: Sequence[Sequence[Any]], texts: Sequence[int] = ()) -> str:
    """Return a table with its last line break; the columns ``texts`` hold no numbers, whatever they look like."""
    # Of a table without rows `tabulate` knows no columns.
    texts = list(texts) if rows else []
    table = tabulate(rows, list(headers), tablefmt="fancy_grid", disable_numparse=texts)
    return f"{table}\n"

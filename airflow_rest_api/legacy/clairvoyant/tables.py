"""Tables as commands of Airflow 1 drew them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate


def drawn(headers: Sequence[str], rows: Iterable[Sequence[Any]], texts: Sequence[int] = ()) -> str:
    """Return a table with its last line break; the columns ``texts`` hold no numbers, whatever they look like."""
    table = tabulate(list(rows), list(headers), tablefmt="fancy_grid", disable_numparse=list(texts))
    return f"{table}\n"

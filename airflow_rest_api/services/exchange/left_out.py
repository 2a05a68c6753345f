"""What an export left out, as notes about it."""

from __future__ import annotations

from urllib.parse import quote

from airflow_rest_api.services.exchange.stored_text import Exported
from airflow_rest_api.services.states import Noted

# Servers and proxies bound the head of a response.
_MOST_CHARACTERS = 4000


def noted(exported: Exported) -> str | Noted:
    """Return the text of an export, with the number and the names of what it left out, if anything."""
    if not exported.left_out:
        return exported.text
    names = [quote(name, safe="") for name in exported.left_out]
    while len(",".join(names)) > _MOST_CHARACTERS:
        names = names[: len(names) // 2]
    return Noted(
        exported.text, {"Skipped-Count": str(len(exported.left_out)), "Skipped-Names": ",".join(names)}
    )

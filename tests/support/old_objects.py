"""What old calls on variables, connections and pools print, and what their tests share."""

from __future__ import annotations

DOOR = "clairvoyant"
MASK = "***"
# Not those of the session itself, which are looked for everywhere.
PASSWORD, TOKEN = "horse-battery-staple", "stapled-battery"
WAREHOUSE = f"postgresql://ada:{PASSWORD}@warehouse.example.com:5432/orders"
USAGE = "airflow {}: error: argument -s/--set: expected {} arguments\n"


def enveloped(answer, code, status):
    """The envelope of an answer with this status."""
    envelope = answer.json()
    assert (answer.status_code, envelope["http_response_code"], envelope["status"]) == (code, code, status)
    assert ("airflow_cmd" in envelope) == (status == "OK")
    return envelope


def lines(*sentences):
    return "".join(f"\n\t{sentence}\n\n" for sentence in sentences)


def rows_of(table):
    """The cells of a table that was drawn."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if "│" in line
    ]

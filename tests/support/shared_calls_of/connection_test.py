"""Tests of connections where Airflow's configuration does not allow them, as `/api/v2` refuses them."""

from __future__ import annotations

from tests.support.shared_calls import SharedCall
from tests.support.shared_calls_of.connection import BODIES

PATH = "/connections/test"
BODY = {"connection_id": "tried_{side}", "conn_type": "fs"}

CALLS = (
    *(
        SharedCall("POST", PATH, json=BODY, role=role)
        for role in (None, "nobody", "viewer", "user", "op", "admin")
    ),
    *(
        SharedCall("POST", PATH, json=body, note=name)
        for name, body in BODIES.items()
        if name != "mask as extra"
    ),
    SharedCall("GET", PATH, note="a connection of that name is not there"),
)

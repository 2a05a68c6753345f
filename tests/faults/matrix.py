"""Permissions: whom we refuse, `/api/v2` refuses, and nobody else; with both auth managers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.support import under_manager
from tests.support.under_manager import MANAGERS

LEAST = 1500
UNKNOWN = ("anonymous", "bad", "expired")
OBJECTS = ("own", "foreign", "missing")
# Whoever calls without a good token, whatever it is about.
NOBODY_KNOWN = [f"{caller} {target}" for caller in UNKNOWN for target in OBJECTS]
# The role that may do with one DAG what User may with all.
ONE_DAG = ["OneDag foreign", "OneDag missing"]
# The role that reads and changes nothing.
VIEWER = [f"Viewer {target}" for target in OBJECTS]
# The roles that have nothing to do with variables, connections and pools.
NO_OP = [f"{role} {target}" for role in ("Viewer", "User", "OneDag") for target in OBJECTS]
NOT_OP = NOBODY_KNOWN + NO_OP
# What is switched off is nobody's.
EVERYBODY = [
    *NOBODY_KNOWN,
    *(f"{role} {target}" for role in ("Viewer", "User", "Op", "Admin", "OneDag") for target in OBJECTS),
]
# A power is an administrator's alone, whatever the call is about.
POWERLESS = NOBODY_KNOWN + [f"{r} {target}" for r in ("Viewer", "User", "Op", "OneDag") for target in OBJECTS]
# Who is refused by the operations that `/api/v2` has not. Login and its kin answer 401 to made-up secrets, whoever
# sends them.
OWN = {
    "get_liveness": [],
    "get_readiness": [],
    **dict.fromkeys(("get_capabilities", "get_metrics", "get_current_user", "review_access"), NOBODY_KNOWN),
    **dict.fromkeys(("get_operations", "get_operation", "cancel_operation"), NOBODY_KNOWN),
    **dict.fromkeys(("upload_file", "get_files", "get_file", "delete_file"), POWERLESS),
    "get_rendered_fields": [*NOBODY_KNOWN, *ONE_DAG],
    "put_variable": [*NOBODY_KNOWN, *NO_OP],
    "put_connection": [*NOBODY_KNOWN, *NO_OP],
    "skip_task_instance": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    "refresh_dag": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    "restart_failed_tasks": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    "kill_dag_run": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    "kill_task_instance": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    "run_task_instance": [*NOBODY_KNOWN, *VIEWER, *ONE_DAG],
    # Whoever may change some DAG's tasks; a selector takes of all what the caller may change.
    "restart_failed_dag_runs": [*NOBODY_KNOWN, *VIEWER],
    "kill_dag_runs": [*NOBODY_KNOWN, *VIEWER],
    "refresh_all_dags": [*NOBODY_KNOWN, *VIEWER, "OneDag own", *ONE_DAG],
    **dict.fromkeys(("get_deployments", "get_deployment"), NOBODY_KNOWN),
    **dict.fromkeys(("deploy_dag", "rollback_deployment", "validate_dag", "test_task"), EVERYBODY),
    **dict.fromkeys(("export_variables", "export_connections"), NOT_OP),
    **dict.fromkeys(("import_variables", "import_connections", "import_pools"), NOT_OP),
    "export_pools": NOBODY_KNOWN,
    **dict.fromkeys(("reveal_variable", "reveal_connection"), EVERYBODY),
    **dict.fromkeys(("get_components", "get_component", "get_celery_workers"), NOBODY_KNOWN),
    **dict.fromkeys(("start_component", "stop_component", "get_component_log"), EVERYBODY),
    **dict.fromkeys(("shut_down_celery_worker", "add_celery_queue", "remove_celery_queue"), EVERYBODY),
    "put_pool": [*NOBODY_KNOWN, *NO_OP],
    "logout": [f"{caller} own" for caller in UNKNOWN],
}
SECRETS = ("login", "refresh_token")


def run(full: bool) -> dict[str, object]:
    """Call every shared operation as every caller: on every kind of object, or (quick) on one of them in turn."""
    figures: dict[str, object] = {}
    cells = 0
    for manager in MANAGERS:
        found = compared(manager, every=full)
        assert found["differing"] == [], f"{manager}: {found['differing'][:10]}"
        strange = own_differences(found["own"], manager)
        assert strange == [], f"{manager}: {strange}"
        figures[f"{manager}: own operations as written down"] = len(found["own"])
        figures[f"{manager}: cells"] = found["cells"]
        figures[f"{manager}: operations"] = found["operations"]
        figures[f"{manager}: refused by both"] = found["refused"]
        figures[f"{manager}: differing"] = 0
        cells += found["cells"]
    assert cells >= LEAST or not full, f"{cells} cells"
    return {**figures, "cells": cells}


def own_differences(found: dict[str, list[str]], manager: str) -> list[str]:
    """What is not as it is written down; the SimpleAuthManager has no role for one DAG, and writes the others small."""
    faults = []
    for operation_id, refused in found.items():
        if operation_id in SECRETS:
            continue
        expected = set(OWN.get(operation_id, ["nothing is written down"]))
        if manager == "simple":
            expected = {name for name in expected if not name.startswith("OneDag")}
        strange = {name.lower() for name in refused} ^ {name.lower() for name in expected}
        if strange:
            faults.append(f"{operation_id}: {sorted(strange)}")
    return faults + [f"{name} was not called" for name in OWN.keys() - found.keys()]


def compared(manager: str, *, every: bool, fault: str = "none") -> dict[str, Any]:
    """Compare the two services in a process and a home of their own."""
    with tempfile.TemporaryDirectory(prefix="airflow-matrix-") as folder:
        amount = "all" if every else "one"
        arguments = ("tests.security.matrix", manager, amount, fault)
        return under_manager.told(
            Path(folder), manager, *arguments, settings={"PYTHONHASHSEED": "0"}, seconds=600
        )

"""Checks of our own that schemathesis runs beside its own."""

from __future__ import annotations

import schemathesis
from schemathesis import GenerationMode

# Well-formed requests may still mean nothing; these are the types that say so, all others are faults of the contract.
SEMANTIC = {
    "backfill-dates-out-of-range",
    "backfill-runs-not-allowed",
    "bad-path",
    "component-option-rejected",
    "component-option-unknown",
    # Beyond ASCII, only letters and digits are for connections.
    "connection-id-not-allowed",
    "credentials-needed",
    "dag-has-import-errors",
    "dag-id-unclear",
    "dag-non-periodic-schedule",
    "dag-run-rejected",
    "data-interval-incomplete",
    "default-pool-fixed",
    "default-pool-not-deletable",
    # The extra of a connection is JSON as a text.
    "extra-not-an-object",
    "field-not-changeable",
    # What a schema knows of a file is that it is one.
    "file-unreadable",
    "group-needs-dag",
    "import-rejected",
    "invalid-backfill-conf",
    "invalid-backfill-date",
    "invalid-backfill-date-range",
    "invalid-backfill-direction",
    "invalid-cursor",
    "invalid-log-token",
    "invalid-reprocess-behavior",
    "manual-runs-not-allowed",
    "masked-value",
    "name-differs",
    "no-backfill-runs-to-create",
    "number-too-large",
    "options-exclusive",
    # Of the event log's orders one, by `extra`, goes with pages and not with cursors.
    "order-not-allowed",
    "partition-days-need-dag",
    "pool-incomplete",
    "reason-missing",
    "refresh-token-missing",
    "review-of-unknown",
    "run-has-no-logical-date",
    "selection-ambiguous",
    "task-name-unclear",
    "teams-are-off",
}
PREFIX = "urn:airflow-rest-api:problem:"


@schemathesis.hook
def before_call(_context, case, _given) -> None:
    """Let nobody follow a log, or wait long: nothing runs on this server, so that would have no end."""
    query = case.query or {}
    if str(query.get("follow")).lower() == "true":
        query["follow"] = False
    if str(query.get("wait")).isdigit() and 1 < int(query["wait"]) <= 60:
        query["wait"] = 1


@schemathesis.check
def a_valid_request_is_malformed_only_in_meaning(ctx, response, case) -> None:
    """A request that fits the contract is refused with 400 only under a type that speaks of its meaning."""
    if (
        response.status_code != 400
        or case.meta is None
        or case.meta.generation.mode != GenerationMode.POSITIVE
    ):
        return
    problem = response.json()
    kind = problem.get("type", "").removeprefix(PREFIX)
    # Stateful tests put ids of other answers into paths without asking the schema of the parameter.
    faults = problem.get("errors", [])
    from_a_link = bool(faults) and all(fault.get("in") == "path" for fault in faults)
    if kind not in SEMANTIC and not from_a_link:
        raise AssertionError(f"a request that fits the contract was answered with '{kind}'")

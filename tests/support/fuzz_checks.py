"""Checks of our own that schemathesis runs beside its own."""

from __future__ import annotations

from urllib.parse import urlencode

import schemathesis
from schemathesis import GenerationMode

from airflow_rest_api.web import contract
from tests.support import fuzz_record

fuzz_record.register()

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
    # An entity of a bulk request may have an empty name, and its schema is that of a single object.
    "name-missing",
    "no-backfill-runs-to-create",
    # The contract cannot say that exactly one of two files is sent.
    "nothing-sent",
    # The name of a file is no part of a schema.
    "not-python",
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
SPELLINGS = {
    **dict.fromkeys(("1", "yes", "on", "t", "y"), "true"),
    **dict.fromkeys(("0", "no", "off", "f", "n"), "false"),
}
# In bytes; the service rejects longer addresses. A character takes up to twelve of them.
LONGEST_ADDRESS = 6_000
LONGEST_TEXT = 100
PREFIX = "urn:airflow-rest-api:problem:"


def _booleans() -> set[str]:
    """Return the names of all boolean query parameters and form fields."""
    document = contract.load("openapi.yaml")
    found = set()
    for operation in contract.operations(document):
        found |= {
            entry["name"]
            for entry in contract.parameters(document, operation)
            if contract.dereference(document, entry["schema"]).get("type") == "boolean"
        }
        body = contract.dereference(document, operation.definition.get("requestBody", {}))
        if media := body.get("content", {}).get(contract.FORM):
            fields = contract.dereference(document, media["schema"])["properties"].items()
            found |= {
                name
                for name, entry in fields
                if contract.dereference(document, entry).get("type") == "boolean"
            }
    return found


BOOLEANS = _booleans()


@schemathesis.hook
def before_call(_context, case, _given) -> None:
    """Let nobody follow a log, or wait long: nothing runs on this server, so that would have no end."""
    query = case.query or {}
    if str(query.get("follow")).lower() == "true":
        query["follow"] = False
    if str(query.get("wait")).isdigit() and 1 < int(query["wait"]) <= 60:
        query["wait"] = 1


@schemathesis.hook("before_call")
def spell_booleans_as_the_contract_does(_context, case, _given) -> None:
    """Write `true` for `1` or `yes`: OpenAPI knows no further spellings, so their success would count as a fault."""
    for fields in (case.query, case.body):
        if isinstance(fields, dict) and (fields is case.query or case.media_type != contract.JSON):
            for name in BOOLEANS & set(fields):
                fields[name] = SPELLINGS.get(str(fields[name]).lower(), fields[name])


@schemathesis.hook("before_call")
def leave_out_null_bodies(_context, case, _given) -> None:
    """Send `{}` for a `null` that counts as an absent body: its success would count as a fault."""
    body = case.operation.definition.raw.get("requestBody", {})
    if case.body is None and not body.get("required"):
        case.body = {}


@schemathesis.hook("before_call")
def keep_the_address_short(_context, case, _given) -> None:
    """Cut long arguments where the whole address would be too long (414), which no schema can state."""
    query = case.query if isinstance(case.query, dict) else {}
    if len(urlencode(query, doseq=True)) > LONGEST_ADDRESS:
        query.update({name: _cut(value) for name, value in query.items()})


def _cut(value):
    if isinstance(value, list):
        return [_cut(entry) for entry in value[:3]]
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


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

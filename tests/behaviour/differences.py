"""Name what differs between two outcomes of one request."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from tests.behaviour.recorded import Entry

LONGEST = 2_000


def between(before: Entry, after: Entry) -> Iterator[str]:
    """Yield a sentence for each part that differs: status, a header, the body, the audit rows."""
    label = before.request.label
    old, new = before.outcome, after.outcome
    if old.status != new.status:
        yield f"{label}: status {old.status} -> {new.status}: {new.body[:LONGEST]}"
    headers = sorted(set(old.headers) ^ set(new.headers))
    if headers:
        yield f"{label}: headers {[entry for entry in headers if entry in old.headers]} -> " + str(
            [entry for entry in headers if entry in new.headers]
        )
    if old.body != new.body:
        yield f"{label}: body\n{_difference(old.body, new.body)}"
    if old.audit != new.audit:
        yield f"{label}: audit rows\n{_difference(json.dumps(old.audit), json.dumps(new.audit))}"


def _difference(old: str, new: str) -> str:
    parts = difflib.unified_diff(_parts(old), _parts(new), lineterm="", n=0)
    return "\n".join(list(parts)[2:])[:LONGEST]


def _parts(text: str) -> list[str]:
    return text.replace(", ", ",\n").splitlines()

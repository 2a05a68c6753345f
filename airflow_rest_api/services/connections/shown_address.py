"""Shown addresses: what may be told of a connection's URI that a caller has sent."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote_plus

from airflow_rest_api.services import masks
from airflow_rest_api.services.exchange import connection_address

# Of `http://https://ada:secret@host` the second part has the password.
_LOGIN = re.compile(r"(?<=://)([^/?#:@]*):[^/?#]*@")


def of(address: str) -> str:
    """Return a URI with a mask in place of its password and of what is sensitive in its extra.

    What is no URI, or hides its secrets so well that they cannot be found in it, is masked as a whole.
    """
    try:
        shown = _masked(address)
        found = connection_address.read(shown)
    except connection_address.Unreadable:
        return masks.MASK
    is_clear = found["password"] == masks.MASK or ":" not in _login(shown)
    is_safe = "://" in shown and is_clear and not _sensitive(found["extra"])
    return shown if is_safe else masks.MASK


def _login(address: str) -> str:
    """Return what somebody may have meant for a login: a password with a slash in it is not read as one."""
    return address.partition("://")[2].partition("?")[0].rpartition("@")[0]


def _masked(address: str) -> str:
    fields = connection_address.read(address)
    shown = _LOGIN.sub(rf"\1:{masks.MASK}@", address) if fields["password"] else address
    sensitive = _sensitive(fields["extra"])
    before, mark, query = shown.partition("?")
    if not sensitive:
        return shown
    hidden = sensitive | {connection_address.EXTRA_KEY}
    return before + mark + "&".join(_hidden(pair, hidden) for pair in query.split("&"))


def _hidden(pair: str, hidden: frozenset[str]) -> str:
    name = pair.partition("=")[0]
    return f"{name}={masks.MASK}" if unquote_plus(name) in hidden else pair


def _sensitive(extra: str | None) -> frozenset[str]:
    """Return the names at the top of an extra below which something has to be masked."""
    if not extra or extra == masks.MASK:
        return frozenset()
    try:
        # As texts, which all values of a URI are: of numbers nothing would be masked.
        whole = {
            name: value if isinstance(value, dict | list) else str(value)
            for name, value in json.loads(extra).items()
        }
        shown = json.loads(masks.extra_text(json.dumps(whole)))
        return frozenset(name for name, value in whole.items() if shown[name] != value)
    except (ValueError, AttributeError, TypeError, RecursionError):
        # No JSON object: Airflow would not take it either.
        return frozenset({connection_address.EXTRA_KEY})

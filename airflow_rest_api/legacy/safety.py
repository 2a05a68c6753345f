"""Safety: the old plugins changed things on GET; what only looks like somebody's wish is refused here.

A page of elsewhere cannot send our credentials, which are headers and never cookies; what a browser fetches by
itself, or for such a page, is refused all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_rest_api.legacy.failures import Unsafe

# Headers by which a browser says that it looks ahead.
_AHEAD = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_LOOKS_AHEAD = (b"prefetch", b"prerender", b"preview")
_ELSEWHERE = (b"cross-site", b"same-site")


def require(headers: Mapping[bytes, bytes]) -> None:
    """Raise `Unsafe` for a change that a browser fetches ahead, or for a page of another site."""
    if any(word in headers.get(name, b"").lower() for name in _AHEAD for word in _LOOKS_AHEAD):
        raise Unsafe("This call changes something and is not answered to a browser that fetches ahead.")
    if headers.get(b"sec-fetch-site", b"").lower() in _ELSEWHERE:
        raise Unsafe("This call changes something and is not answered to pages of another site.")

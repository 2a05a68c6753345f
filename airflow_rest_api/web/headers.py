"""Headers: what every answer tells a browser, whichever layer makes it.

Nothing is imported here: the plugin needs them for the one answer that it gives when nothing else could be imported.
"""

from __future__ import annotations

from collections.abc import Collection

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# Pages bring a policy of their own; nothing else may be rendered, framed or cached.
_UNLESS_PRESENT: tuple[Header, ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
# A year. Over a connection in clear nobody has to believe it, and a browser must not (RFC 6797 section 7.2).
_ENCRYPTED: Header = (b"strict-transport-security", b"max-age=31536000")


def completing(scheme: str | None, present: Collection[bytes] = ()) -> list[Header]:
    """Return the headers that an answer lacks which has those ``present``, by their names in lower case.

    ``scheme`` is that of the request, as the server sees it or a trusted proxy tells it.
    """
    missing = [header for header in _UNLESS_PRESENT if header[0] not in present]
    encrypted = [_ENCRYPTED] if scheme == "https" else []
    return [*_ALWAYS, *missing, *encrypted]

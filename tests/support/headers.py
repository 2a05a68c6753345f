"""What every answer tells a browser, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

EXPECTED = {
    "x-content-type-options": ("nosniff",),
    "referrer-policy": ("no-referrer",),
    "cache-control": ("no-store", "no-cache"),
}


def wrong(headers: Mapping[str, str], *, encrypted: bool = False) -> list[str]:
    """What is wrong with the headers of an answer, given by their names in lower case."""
    return list(_wrong(headers, encrypted=encrypted))


def _wrong(headers: Mapping[str, str], *, encrypted: bool) -> Iterator[str]:
    for name, allowed in EXPECTED.items():
        if headers.get(name) not in allowed:
            yield f"{name}: {headers.get(name)}"
    policy = headers.get("content-security-policy", "")
    if "default-src 'none'" not in policy or "frame-ancestors '" not in policy:
        yield f"content-security-policy: {policy}"
    if encrypted != ("strict-transport-security" in headers):
        yield f"strict-transport-security: {headers.get('strict-transport-security')}"
    yield from (name for name in headers if name == "server" or name.startswith("access-control-"))

"""Tokens that no issuer signed, with claims and headers that are hard to read. Every one has to be rejected."""

from __future__ import annotations

import base64
from typing import Any

_DIGITS = "9" * 5000
_DEEP = "[" * 15_000
# As JSON texts, because some of them have no value in Python.
_CLAIMS = {
    "superscript": '{"sub": "²"}',
    "5,000 digits": f'{{"sub": "{_DIGITS}"}}',
    "a number of 4,000 digits": f'{{"sub": {_DIGITS[:4000]}}}',
    "a number of 5,000 digits": f'{{"sub": {_DIGITS}}}',
    "a negative number": '{"sub": -1}',
    "a large number": '{"sub": 1e400}',
    "not a number": '{"sub": NaN}',
    "a boolean": '{"sub": true}',
    "null": '{"sub": null}',
    "a list": '{"sub": ["1"]}',
    "an object": '{"sub": {"1": 1}}',
    "an empty text": '{"sub": ""}',
    "NUL": '{"sub": "1\\u0000"}',
    "a lone surrogate": '{"sub": "\\ud800"}',
    "other digits": '{"sub": "١"}',
    "no subject": "{}",
    "odd times": '{"sub": "1", "exp": 1e400, "iat": "x", "nbf": [], "jti": {}}',
    "deep nesting": f'{{"sub": {_DEEP}',
    "no object": "[]",
    "no JSON": "{",
}
_HEADERS = {
    "not signed": '{"alg": "none", "typ": "JWT"}',
    "signed by another key": '{"alg": "HS512", "typ": "JWT", "kid": "not-used"}',
    "as if of this service": '{"alg": "HS256", "typ": "at+jwt"}',
    "an odd key id": '{"alg": "HS512", "typ": "JWT", "kid": {"a": 1}}',
    "an odd algorithm": '{"alg": ["HS512"], "typ": ["JWT"]}',
    "deep nesting": f'{{"alg": "HS256", "typ": "at+jwt", "kid": {_DEEP}',
    "many digits": f'{{"alg": "HS256", "typ": "at+jwt", "kid": {_DIGITS}}}',
    "no object": "[]",
}


def every() -> dict[str, str]:
    """Return the tokens by a name for test reports."""
    known = ("not signed", "signed by another key", "as if of this service")
    pairs = [(header, claims) for header in known for claims in _CLAIMS]
    pairs += [(header, "superscript") for header in _HEADERS if header not in known]
    tokens = {f"{header}: {claims}": _token(_HEADERS[header], _CLAIMS[claims]) for header, claims in pairs}
    return tokens | {"no base64": "ä.ö.ü", "dots": "..", "one word": "x", "five parts": "a.b.c.d.e"}


def statuses(client: Any) -> dict[str, list[int]]:
    """Return the statuses of all tokens, by the place that reads them."""
    found: dict[str, set[int]] = {}
    for token in every().values():
        bearer = {"Authorization": f"Bearer {token}".encode()}
        for place, (method, address, sent) in _PLACES.items():
            answer = client.request(method, f"http://test{address}", headers=bearer, **sent)
            found.setdefault(place, set()).add(answer.status_code)
        body = {"refresh_token": token}
        answer = client.post("http://test/rest_api/v1/security/refresh", json=body)
        found.setdefault("refresh token in the body", set()).add(answer.status_code)
    return {place: sorted(codes) for place, codes in found.items()}


_PLACES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a read": ("GET", "/rest_api/v1/dags", {}),
    "a change": ("POST", "/rest_api/v1/dags/etl/dagRuns", {"json": {}}),
    "logout": ("POST", "/rest_api/v1/security/logout", {}),
    "refresh": ("POST", "/rest_api/v1/security/refresh", {}),
    "old refresh": ("POST", "/api/v1/security/refresh", {}),
    "old call of eBay": ("GET", "/rest_api/api?api=dag_state&dag_id=etl&run_id=x", {}),
    "old call of Clairvoyant": ("GET", "/admin/rest_api/api?api=version", {}),
}
REJECTED: dict[str, list[int]] = {
    "a read": [401],
    "a change": [401],
    "logout": [401],
    "refresh": [401],
    # The contract bounds the length of the field.
    "refresh token in the body": [400, 401],
    # What flask-jwt-extended 3 responded with to a token that it could not read or verify.
    "old refresh": [422],
    "old call of eBay": [422],
    "old call of Clairvoyant": [422],
}


def _token(header: str, claims: str) -> str:
    return ".".join((_encoded(header), _encoded(claims), "c2lnbmF0dXJl"))


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

"""Tokens never cross: each kind is taken where it belongs, and nowhere else (RFC 8725)."""

from __future__ import annotations

import base64
import json
import os
import time
from datetime import datetime, timedelta, timezone

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_rest_api.security import access_tokens, auth_manager
from tests.security import issuers

CLAIMS = {"sub": "admin", "role": "ADMIN"}
OURS, REFRESH, THEIRS = "our operations", "our refresh", "Airflow's operations"
# Where each kind is accepted; a kind that is not named is accepted nowhere.
ACCEPTED = {"our access token": {OURS}, "our refresh token": {REFRESH}, "airflow's token": {OURS, THEIRS}}


def secret():
    return os.environ["AIRFLOW__API_AUTH__JWT_SECRET"]


def our_key():
    return issuers.access_tokens()._application.config["JWT_SECRET_KEY"]


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def ours(*, key=None, algorithm="HS256", headers=None, drop=(), **changed):
    """Our access token, right but for what is changed."""
    claims = {**claims_of(issuers.access_tokens().issue(CLAIMS)), **changed}
    claims = {name: value for name, value in claims.items() if name not in drop}
    typ = {"typ": access_tokens.TOKEN_TYPE, **(headers or {})}
    return jwt.encode(claims, our_key() if key is None else key, algorithm, headers=typ)


def airflows(*, key=None, algorithm="HS512", headers=None, drop=(), **changed):
    """Airflow's token, right but for what is changed."""
    claims = {**claims_of(auth_manager.manager().generate_jwt(auth_manager.user_by_name("admin"))), **changed}
    claims = {name: value for name, value in claims.items() if name not in drop}
    return jwt.encode(claims, secret() if key is None else key, algorithm, headers=headers)


def unsigned(token, **header):
    """The token with `alg: none` and no signature."""
    head = json.dumps({**jwt.get_unverified_header(token), "alg": "none", **header}).encode()
    return f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{token.split('.')[1]}."


def signed_with_rsa(token):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    head = {name: value for name, value in jwt.get_unverified_header(token).items() if name != "alg"}
    return jwt.encode(claims_of(token), key, "RS256", headers=head)


def execution():
    """A token as Airflow's scheduler gives it to a task: another audience, the same secret."""
    now = int(time.time())
    claims = {
        "sub": "0198c0de-0000-7000-8000-000000000000",
        "aud": "urn:airflow.apache.org:task",
        "scope": "execution",
    }
    return jwt.encode(
        {**claims, "iat": now, "nbf": now, "exp": now + 600, "jti": "e" * 32}, secret(), "HS512"
    )


def past():
    return int((datetime.now(timezone.utc) - timedelta(minutes=5)).timestamp())


def future():
    return int((datetime.now(timezone.utc) + timedelta(minutes=5)).timestamp())


KINDS = {
    "our access token": lambda: issuers.access_tokens().issue(CLAIMS),
    "our refresh token": lambda: issuers.refresh_tokens().issue(CLAIMS, "admin").token,
    "airflow's token": airflows,
    "a token for tasks": execution,
    "ours as a refresh token": lambda: ours(type="refresh"),
    "ours without a type": lambda: ours(drop=["type"]),
    "ours of another issuer": lambda: ours(iss="airflow"),
    "ours for another audience": lambda: ours(aud="apache-airflow"),
    "ours for several audiences, ours not among them": lambda: ours(aud=["apache-airflow", "x"]),
    "ours, expired": lambda: ours(exp=past()),
    "ours, not yet valid": lambda: ours(nbf=future()),
    "ours, unsigned": lambda: unsigned(ours()),
    "ours, unsigned, called so otherwise": lambda: unsigned(ours(), alg="nOnE"),
    "ours in HS512": lambda: ours(algorithm="HS512"),
    "ours in RS256": lambda: signed_with_rsa(ours()),
    "ours with an unknown critical header": lambda: ours(headers={"crit": ["exp2"], "exp2": 1}),
    "ours with a key of its own": lambda: ours(headers={"jwk": {"kty": "oct", "k": "eA"}}, key="x" * 64),
    "ours, signed with airflow's secret": lambda: ours(key=secret()),
    "ours with the type of airflow's": lambda: ours(headers={"typ": "JWT"}),
    "ours, truncated": lambda: ours()[:-10],
    "airflow's, signed with our key": lambda: airflows(key=our_key()),
    "airflow's in HS256": lambda: airflows(algorithm="HS256"),
    "airflow's in HS256 with our type": lambda: airflows(algorithm="HS256", headers={"typ": "at+jwt"}),
    "airflow's with our type": lambda: airflows(headers={"typ": "at+jwt"}, key=our_key()),
    "airflow's, expired": lambda: airflows(exp=past()),
    "airflow's, not yet valid": lambda: airflows(nbf=future()),
    "airflow's, unsigned": lambda: unsigned(airflows()),
    "airflow's for another audience": lambda: airflows(aud="airflow-rest-api"),
    "airflow's, truncated": lambda: airflows()[:-10],
    "airflow's with an unknown critical header": lambda: airflows(headers={"crit": ["exp2"], "exp2": 1}),
    "no token at all": lambda: "admin-password",
}  # fmt: skip


def accepting(token, rest, v2):
    """Where the token is accepted."""
    headers = {"Authorization": f"Bearer {token}"}
    answers = {
        OURS: rest.get("/dags", role=None, headers=headers),
        REFRESH: rest.post("/security/refresh", role=None, headers=headers),
        THEIRS: v2.get("/dags", role=None, headers=headers),
    }
    assert {answer.status_code for answer in answers.values()} <= {200, 401, 403}
    return {place for place, answer in answers.items() if answer.status_code == 200}


@pytest.mark.in_process
@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_accepted_where_it_belongs_and_nowhere_else(kind, rest, v2, restored_database):
    assert accepting(KINDS[kind](), rest, v2) == ACCEPTED.get(kind, set())


@pytest.mark.in_process
@pytest.mark.parametrize("place", ["access_token", "token", "jwt", "bearer", "authorization", "api_key"])
def test_a_token_in_the_query_is_refused_and_not_repeated(place, rest):
    token = issuers.access_tokens().issue(CLAIMS)
    for role in (None, "admin"):
        answer = rest.get("/dags", role=role, params={place: token})
        assert answer.status_code == (401 if role is None else 400)
        assert token not in answer.text


@pytest.mark.in_process
def test_a_cookie_is_no_credential(rest, token):
    cookies = {"Cookie": f"_token={token('admin')}; session={token('admin')}; access_token={token('admin')}"}
    for method, path in (("GET", "/dags"), ("PATCH", "/dags/etl"), ("POST", "/security/logout")):
        answer = rest.request(method, path, role=None, headers=cookies, json={"is_paused": True})
        assert answer.status_code == 401, path


@pytest.mark.in_process
class TestThisTestItself:
    def test_a_shared_key_and_a_lax_decoder_would_be_noticed(self, rest, v2, monkeypatch, restored_database):
        """What happens where somebody shares the login: one key, one algorithm, one audience."""
        token = airflows(drop=[])
        refresh = jwt.encode({**claims_of(token), "type": "refresh"}, secret(), "HS512")
        assert THEIRS in accepting(refresh, rest, v2)

    def test_a_decoder_that_does_not_look_at_the_type_would_be_noticed(self, rest, v2, monkeypatch):
        known = access_tokens.decode_token
        monkeypatch.setattr(access_tokens, "decode_token", lambda token: {**known(token), "type": "access"})
        assert accepting(KINDS["ours as a refresh token"](), rest, v2) == {OURS}

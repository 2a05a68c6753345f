"""Access tokens: what is in them, and that nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime, timedelta, timezone

import jwt
import pytest

from airflow_rest_api.security import access_tokens
from airflow_rest_api.services import errors
from tests.security import issuers

CLAIMS = {"sub": "admin", "role": "ADMIN"}


@pytest.fixture
def issuer(rest):
    return issuers.access_tokens()


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def key_of(issuer):
    return issuer._application.config["JWT_SECRET_KEY"]


def forged(issuer, *, key=None, headers=None, algorithm="HS256", drop=(), **changed):
    """A token that is right but for what is changed."""
    claims = {**claims_of(issuer.issue(CLAIMS)), **changed}
    for name in drop:
        del claims[name]
    typ = {"typ": access_tokens.TOKEN_TYPE, **(headers or {})}
    return jwt.encode(claims, key or key_of(issuer), algorithm, headers=typ)


class TestAccessTokens:
    def test_a_token_names_its_user(self, issuer):
        said = issuer.verify(issuer.issue(CLAIMS))
        assert (said.user_claims, said.family_id, len(said.token_id)) == (CLAIMS, None, 32)
        assert timedelta(minutes=14) < said.expires_at - datetime.now(timezone.utc) <= timedelta(minutes=15)

    def test_a_token_names_its_family(self, issuer):
        assert issuer.verify(issuer.issue(CLAIMS, "f" * 32)).family_id == "f" * 32

    def test_the_forgery_is_right_but_for_what_is_changed(self, issuer):
        assert issuer.verify(forged(issuer)).user_claims == CLAIMS

    @pytest.mark.parametrize(
        "claim", ["iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "airflow_user"]
    )
    def test_no_claim_may_be_missing(self, issuer, claim):
        with pytest.raises(errors.Unauthenticated):
            issuer.verify(forged(issuer, drop=[claim]))

    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": "airflow"},
            {"aud": "apache-airflow"},
            {"aud": None},
            {"exp": 1},
            {"exp": "soon"},
            {"nbf": 4_000_000_000},
            {"type": "refresh"},
            {"type": None},
            {"airflow_user": "admin"},
            {"airflow_user": None},
            {"sub": 1},
            {"sid": 1},
        ],
        ids=str,
    )
    def test_no_claim_may_be_another(self, issuer, changed):
        with pytest.raises(errors.Unauthenticated):
            issuer.verify(forged(issuer, **changed))

    def test_an_expired_token_is_called_so(self, issuer):
        with pytest.raises(errors.Unauthenticated, match="expired"):
            issuer.verify(forged(issuer, exp=int(time.time()) - 1))

    def test_a_foreign_or_changed_token_is_refused_by_every_door(self, issuer, rest):
        good = issuer.issue(CLAIMS)
        head, body, signature = good.split(".")
        claims = json.dumps({**claims_of(good), "sub": "op"}).encode()
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
        other_body = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
        for token in (
            forged(issuer, key="x" * 64),
            forged(issuer, algorithm="HS512"),
            forged(issuer, headers={"typ": "JWT"}),
            forged(issuer, headers={"typ": None}),
            f"{head}.{other_body}.{signature}",
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{none}.{body}.",
            f"{head}.{body}",
            f"{head}.{body}.",
            "..",
            "a.b.c",
            "x" * 5000,
        ):
            response = rest.get("/dags", role=None, headers={"Authorization": f"Bearer {token}"})
            assert response.status_code == 401, token
            assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_the_two_services_do_not_take_each_others_kind(self, issuer, rest, v2, token):
        """Airflow's token is good for both services; ours is good for ours alone, and signed with another key."""
        ours = {"Authorization": f"Bearer {issuer.issue(CLAIMS)}"}
        assert rest.get("/dags", role=None, headers=ours).status_code == 200
        assert v2.get("/dags", role=None, headers=ours).status_code in (401, 403)
        theirs = {"Authorization": f"Bearer {token('admin')}"}
        assert rest.get("/dags", role=None, headers=theirs).status_code == 200
        assert not issuer.is_own(token("admin"))
        with pytest.raises(errors.Unauthenticated):
            issuer.verify(token("admin"))

    def test_the_keys_differ_from_airflows_and_from_each_other(self, issuer):
        import os

        secret = os.environ["AIRFLOW__API_AUTH__JWT_SECRET"]
        assert len({secret, key_of(issuer), issuers.refresh_tokens()._key.hex()}) == 3
        signed = forged(issuer, key=secret)
        with pytest.raises(errors.Unauthenticated):
            issuer.verify(signed)

    def test_a_secret_of_ones_own_can_be_set(self, issuer):
        other = issuers.access_tokens(jwt_secret="s" * 32)
        assert key_of(other) != key_of(issuer)
        with pytest.raises(errors.Unauthenticated):
            issuer.verify(other.issue(CLAIMS))

    def test_the_life_of_a_token_is_a_setting(self, rest):
        claims = claims_of(issuers.access_tokens(minutes=1).issue(CLAIMS))
        assert claims["exp"] - claims["iat"] == 60

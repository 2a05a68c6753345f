"""The old texts and statuses for tokens that are not taken."""

from __future__ import annotations

import jwt
import pytest

from airflow_rest_api.legacy import token_errors
from airflow_rest_api.services import errors, token_refusals

TOKEN = jwt.encode({"sub": "op"}, "x" * 32)
NOBODY = errors.Unauthenticated("No credential was presented.")
BAD_HEADER = "Bad Authorization header. Expected value 'Bearer <JWT>'"


@pytest.mark.parametrize(
    ("fault", "authorization", "status", "text"),
    [
        pytest.param(NOBODY, None, 401, "Missing Authorization Header", id="none"),
        pytest.param(NOBODY, " ", 401, "Missing Authorization Header", id="empty"),
        pytest.param(NOBODY, f"Bearer\t{TOKEN}", 422, BAD_HEADER, id="unseen"),
        pytest.param(token_refusals.NotBearer(), "Basic b3A6b3A=", 422, BAD_HEADER, id="basic"),
        pytest.param(token_refusals.NotBearer(), "Bearer", 422, BAD_HEADER, id="bearer alone"),
        pytest.param(token_refusals.TokenInvalid(), "Bearer a b", 422, BAD_HEADER, id="two words"),
        pytest.param(token_refusals.TwoAuthorizations(), f"Bearer {TOKEN}", 422, BAD_HEADER, id="two"),
        pytest.param(
            token_refusals.TokenExpired(), f"Bearer {TOKEN}", 401, "Token has expired", id="expired"
        ),
        pytest.param(
            token_refusals.TokenRevoked(), f"Bearer {TOKEN}", 401, "Token has been revoked", id="revoked"
        ),
        pytest.param(
            token_refusals.UserGone("7"), f"Bearer {TOKEN}", 401, "Error loading the user 7", id="user gone"
        ),
        pytest.param(token_refusals.TokenInvalid(), "Bearer x", 422, "Not enough segments", id="no jwt"),
        pytest.param(
            token_refusals.TokenInvalid(),
            f"Bearer {TOKEN.split('.')[0]}.a.c",
            422,
            "Invalid payload padding",
            id="crooked",
        ),
        pytest.param(
            token_refusals.TokenInvalid(),
            f"bearer {TOKEN}",
            422,
            "Signature verification failed",
            id="forged",
        ),
        pytest.param(
            token_refusals.RefreshTokenPresented(),
            f"Bearer {'x' * 43}",
            422,
            "Only access tokens are allowed",
            id="refresh token",
        ),
        pytest.param(
            token_refusals.AccessTokenPresented(),
            f"Bearer {TOKEN}",
            422,
            "Only refresh tokens are allowed",
            id="access token",
        ),
    ],
)
def test_each_is_told_as_it_was(fault, authorization, status, text):
    given = None if authorization is None else authorization.encode()
    assert token_errors.of(fault, given) == (status, {"msg": text})


def test_no_byte_of_a_token_is_too_strange():
    for token in (b"\xff", b"a.b.c", b"\xff.\xff.\xff", b"." * 5000, b"eyJ9.e30.", b"W10.W10.W10"):
        status, told = token_errors.of(token_refusals.TokenInvalid(), b"Bearer " + token)
        assert (status, set(told)) == (422, {"msg"})


def test_version_1_tells_them_all_alike():
    found = {kind for kind in vars(token_refusals).values() if isinstance(kind, type)}
    refused = [kind for kind in found if issubclass(kind, token_refusals.TokenRefused)]
    made = [kind("7") if kind is token_refusals.UserGone else kind() for kind in refused]
    assert {(one.code, one.title, one.members["presented"]) for one in made} == {
        ("unauthenticated", errors.Unauthenticated.title, True)
    }

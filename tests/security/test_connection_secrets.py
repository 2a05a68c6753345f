"""Secrets of connections: planted wherever a caller can put one, told by no answer, log or row of the event log."""

from __future__ import annotations

import hashlib
import json

import pytest

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

PATH = "/connections/planted"
BODY = {"connection_id": "planted", "conn_type": "http"}
# Where in an extra a secret is one: by its name, in any spelling, and below such a name.
EXTRAS = {
    "name": lambda secret: {"password": secret},
    "capitals": lambda secret: {"API_KEY": secret},
    "spaces": lambda secret: {" Private Key ": secret},
    "dashes": lambda secret: {"aws-secret-access-key": secret},
    "part of a name": lambda secret: {"extra__google__keyfile_dict": secret},
    "object": lambda secret: {"service_account": {"client": {"email": secret}}},
    "list": lambda secret: {"tokens": [secret, [secret]]},
    "below harmless names": lambda secret: {"a": [{"b": {"c": [{"passphrase": secret}]}}]},
    "deep": lambda secret: {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"authorization": secret}}}}}}}},
    "JSON in a text": lambda secret: {"connection_string": json.dumps({"x": secret})},
    "proxies": lambda secret: {"proxies": {"https": f"http://a:{secret}@proxy.invalid"}},
}
WRONG = {
    "password in a list": lambda secret: {**BODY, "password": [secret]},
    "password in an object": lambda secret: {**BODY, "password": {"value": secret}},
    "password with a NUL": lambda secret: {**BODY, "password": f"{secret}\0"},
    "extra without JSON": lambda secret: {**BODY, "extra": secret},
    "extra cut off": lambda secret: {**BODY, "extra": json.dumps({"token": secret})[:-2]},
    "extra as a list": lambda secret: {**BODY, "extra": json.dumps([secret])},
    "extra as an object": lambda secret: {**BODY, "extra": {"token": secret}},
    "extra beside a mask": lambda secret: {**BODY, "extra": json.dumps({"token": secret, "key": "***"})},
    "port": lambda secret: {**BODY, "port": secret},
    "type": lambda secret: {**BODY, "conn_type": [secret]},
    "unknown field": lambda secret: {**BODY, "token": secret},
    "id": lambda secret: {**BODY, "connection_id": {"password": secret}},
    "team": lambda secret: {**BODY, "team_name": secret},
    "list": lambda secret: [secret],
    "text": lambda secret: secret,
}


@pytest.fixture
def plant(notebook):
    """`plant("where")`: a secret to be put there, which the session fails for if it was told anywhere when it ends."""

    def secret(where):
        word = f"planted-{hashlib.sha256(where.encode()).hexdigest()}"
        notebook.issued(f"the secret planted in {where}", word)
        return word

    return secret


@pytest.mark.parametrize("where", EXTRAS)
def test_what_is_stored_is_not_told(rest, plant, where):
    secret, password = plant(f"an extra: {where}"), plant(f"the password beside {where}")
    fields = {
        "password": password,
        "extra": json.dumps({**EXTRAS[where](secret), "uri": f"http://a:{password}@b"}),
    }
    created = rest.post(
        "/connections", json={**BODY, **fields}, headers={"Idempotency-Key": where.replace(" ", "-")}
    )
    assert created.status_code == 201, created.text
    shown = created.json()
    changes = [
        rest.post("/connections", json={**BODY, **fields}),
        rest.patch(PATH, json={**shown, "host": "a"}),
        rest.patch(PATH, json={**shown, **fields}, headers={"If-Match": '"another"'}),
        rest.put(PATH, json={**shown, **fields}),
        rest.patch(
            "/connections", json={"actions": [{"action": "update", "entities": [{**BODY, **fields}]}]}
        ),
        rest.patch(
            "/connections", json={"actions": [{"action": "create", "entities": [{**BODY, **fields}]}]}
        ),
    ]
    assert [answer.status_code for answer in changes] == [409, 200, 412, 200, 200, 200]
    assert rest.get(PATH).json()["extra"] == shown["extra"]
    rest.get("/connections", params={"order_by": "-id"})
    rest.get("/eventLogs", params={"order_by": "-when"})


@pytest.mark.parametrize("where", WRONG)
def test_what_is_refused_is_not_quoted(rest, plant, where):
    wrong = WRONG[where](plant(f"a wrong body: {where}"))
    refused = [
        rest.post("/connections", json=wrong),
        rest.patch(PATH, json=wrong),
        rest.put(PATH, json=wrong),
    ]
    many = [{"actions": [{"action": kind, "entities": [wrong]}]} for kind in ("create", "update")]
    refused += [rest.patch("/connections", json=body) for body in [wrong, *many]]
    assert {answer.status_code for answer in refused} <= {200, 400, 404}
    rest.get("/eventLogs", params={"order_by": "-when"})


def test_what_stands_elsewhere_is_not_quoted(rest, plant):
    rest.post("/connections", json=BODY)
    action = {"entities": [BODY]}
    for where, call in {
        "If-Match": lambda word: rest.patch(PATH, json=BODY, headers={"If-Match": word}),
        "If-None-Match": lambda word: rest.get(PATH, headers={"If-None-Match": word}),
        "Idempotency-Key": lambda word: rest.post(
            "/connections", json=BODY, headers={"Idempotency-Key": word}
        ),
        "the order": lambda word: rest.get("/connections", params={"order_by": word}),
        "the limit": lambda word: rest.get("/connections", params={"limit": word}),
        "a parameter": lambda word: rest.get("/connections", params={"connection_id_pattern": word}),
        "an update mask": lambda word: rest.patch(PATH, json=BODY, params={"update_mask": word}),
        "an action": lambda word: rest.patch("/connections", json={"actions": [{"action": word, **action}]}),
        "a policy": lambda word: rest.patch(
            "/connections", json={"actions": [{"action": "create", "action_on_existence": word, **action}]}
        ),
        "a text": lambda word: rest.request("POST", "/connections", content=f'{{"password": "{word}"'),
        "the media type": lambda word: rest.request(
            "POST", "/connections", content="{}", headers={"Content-Type": f"text/{word}"}
        ),
    }.items():
        assert call(plant(where)).status_code < 500, where
    rest.get("/eventLogs", params={"order_by": "-when"})

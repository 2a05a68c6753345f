"""Thirty secrets of variables and connections: asked for in every way but one, none of them is told."""

from __future__ import annotations

import json
import os
from unittest import mock

import pytest

from tests.support.canaries import Notebook, planted_word

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

CONNECTION = "planted_connection"
# Ten variables, six of them hidden by their keys and four by names inside of their values.
KEYS = (
    *("planted_password", "PLANTED_API_KEY", "planted.secret", "my-token-planted"),
    *("planted/passphrase", "keyfile_dict_planted"),
)
NESTED = ("access_token", "Private_Key", "apikey", "service_account")
EXTRAS = ("token", "aws_secret_access_key", "private_key", "authorization", "passwd")
FORMATS = ("json", "yaml", "env")


def word(what):
    return planted_word(f"thirty {what}")


VARIABLES = {
    **{key: word(key) for key in KEYS},
    **{f"planted_{name}": json.dumps({"a": [{name: word(name)}]}) for name in NESTED},
}
# Ten connections with a password and something in the extra; half of them told as a list, or deeper.
CONNECTIONS = {
    f"{CONNECTION}_{number}": {
        "connection_id": f"{CONNECTION}_{number}",
        "conn_type": "http",
        "host": "planted.invalid",
        "login": "ann",
        "password": word(f"password {number}"),
        "extra": json.dumps(
            {name: word(f"extra {number}")} if number % 2 else {"deep": [{name: [word(f"extra {number}")]}]}
        ),
    }
    for number, name in enumerate([*EXTRAS, *EXTRAS])
}
SECRETS = {
    **{f"the variable {key}": word(key) for key in (*KEYS, *NESTED)},
    **{f"the password of {number}": word(f"password {number}") for number in range(10)},
    **{f"the extra of {number}": word(f"extra {number}") for number in range(10)},
}


@pytest.fixture
def stored(rest):
    for key, value in VARIABLES.items():
        made = rest.post("/variables", json={"key": key, "value": value})
        assert made.status_code == 201, made.text
    for body in CONNECTIONS.values():
        made = rest.post("/connections", json=body)
        assert made.status_code == 201, made.text


def variable_calls(rest, key, role):
    path, value = f"/variables/{key}", VARIABLES[key]
    body = {"key": key, "value": value}
    shown = rest.get(path, role=role).json()
    yield rest.get(path, role=role, params={"source": "all"})
    yield rest.post(
        "/variables", json=body, role=role, headers={"Idempotency-Key": f"{role}-{key}".replace("/", "-")}
    )
    yield rest.post("/variables", json={**body, "team_name": value}, role=role)
    yield rest.patch(path, json={**body, "description": "patched"}, role=role)
    yield rest.patch(path, json={"key": key, "value": shown.get("value", "***")}, role=role)
    yield rest.put(path, json=body, role=role, headers={"If-Match": '"another"'})
    yield rest.put(path, json=body, role=role)
    yield rest.patch("/variables", json={"actions": [{"action": "create", "entities": [body]}]}, role=role)
    yield rest.post(f"{path}/reveal", json={"reason": "out of curiosity"}, role=role)
    yield rest.post("/imports/variables", files={"file": ("v.json", json.dumps({key: value}))}, role=role)


def connection_calls(rest, name, role):
    path, body = f"/connections/{name}", CONNECTIONS[name]
    shown = rest.get(path, role=role).json()
    yield rest.post("/connections", json=body, role=role, headers={"Idempotency-Key": f"{role}-{name}"})
    yield rest.post("/connections", json={**body, "port": body["password"]}, role=role)
    yield rest.patch(path, json={**body, "description": "patched"}, role=role)
    yield rest.patch(path, json={**body, **shown} if "password" in shown else body, role=role)
    yield rest.put(path, json=body, role=role, headers={"If-Match": '"another"'})
    yield rest.put(path, json=body, role=role)
    yield rest.patch("/connections", json={"actions": [{"action": "update", "entities": [body]}]}, role=role)
    yield rest.post(f"{path}/reveal", json={"reason": "out of curiosity"}, role=role)
    yield rest.post("/connections/test", json=body, role=role)
    stored = {name: {**body, "extra": json.loads(body["extra"])}}
    yield rest.post("/imports/connections", files={"file": ("c.json", json.dumps(stored))}, role=role)


def list_calls(rest, role):
    for kind in ("variables", "connections", "pools"):
        yield rest.get(f"/{kind}", role=role, params={"limit": 1000})
        for written in FORMATS:
            for secrets in ({}, {"include_secrets": "true", "reason": "out of curiosity"}):
                yield rest.get(f"/exports/{kind}", role=role, params={"format": written, **secrets})
    yield rest.get("/eventLogs", role=role, params={"limit": 1000, "order_by": "-when"})


def delete_what_others_planted(rest):
    """Leave nothing but the thirty: the session listens, and takes what others planted for a leak."""
    for kind, name, kept in (("variables", "key", VARIABLES), ("connections", "connection_id", CONNECTIONS)):
        for entry in rest.get(f"/{kind}", params={"limit": 1000}).json()[kind]:
            if entry[name] not in kept:
                assert rest.delete(f"/{kind}/{entry[name]}").status_code == 204


class TestThirtySecrets:
    def test_there_are_thirty(self):
        assert len(set(SECRETS.values())) == len(SECRETS) == 30

    @pytest.mark.parametrize(("role", "least"), [("admin", 100), ("op", 100), ("viewer", 1)])
    def test_none_is_told_to_who_may_not_reveal(self, rest, stored, notebook, tmp_path, role, least):
        before = len(notebook.said())
        answers = [answer for key in VARIABLES for answer in variable_calls(rest, key, role)]
        answers += [answer for name in CONNECTIONS for answer in connection_calls(rest, name, role)]
        answers += list(list_calls(rest, role))
        assert max(answer.status_code for answer in answers) < 500
        succeeded = sum(answer.is_success for answer in answers)
        assert succeeded >= least, "almost everything was refused: nothing is shown"
        own = Notebook(tmp_path / "said", SECRETS)
        own.note("what the session said", notebook.said()[before:])
        assert own.hits() == []

    def test_all_are_told_to_who_may_reveal_so_that_they_would_have_been_found(
        self, rest, stored, token, tmp_path
    ):
        from airflow_rest_api.web.app import create_application
        from tests.conftest import in_process

        delete_what_others_planted(rest)
        own = Notebook(tmp_path / "said", SECRETS)
        asked = {"include_secrets": "true", "reason": "a negative control", "format": "json"}
        bearer = {"Authorization": f"Bearer {token('admin')}"}
        with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__REVEAL_ENABLED": "True"}):
            application = create_application()
        with in_process(application) as http:
            for kind in ("variables", "connections"):
                answer = http.get(f"/rest_api/v1/exports/{kind}", params=asked, headers=bearer)
                assert answer.status_code == 200, answer.text
                own.note(kind, answer.content)
        assert {hit.partition(",")[0] for hit in own.hits()} == set(SECRETS)

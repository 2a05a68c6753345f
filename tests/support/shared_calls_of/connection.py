"""Connections, as `/api/v2` answers them: every operation, every refusal, every field."""

from __future__ import annotations

import json
from typing import Any

from tests.support.shared_calls import SharedCall

ONE, TWO, NONE = "one_{side}", "two_{side}", "none_{side}"
PATH = f"/connections/{ONE}"
# Names are sensitive in any spelling, and whatever is below them.
EXTRA = {
    "region": "north",
    "api_token": "planted-token",
    "Private-Key ": "planted-key",
    "AWS Secret Access Key": "planted-access",
    "nested": {"passwd": "planted-inner", "list": [{"authorization": "planted-listed", "port": 5432}]},
    "tokens": ["planted-first", {"any": "planted-below", "count": 3, "none": None}],
    "number": 5,
    "text": "planted-password-1 within a text",
}
WHOLE = {
    "conn_type": "postgres",
    "description": "A warehouse: ü.",
    "host": "warehouse.invalid",
    "login": "reader",
    "schema": "sales",
    "port": 5432,
    "password": "planted-password-1",
    "extra": json.dumps(EXTRA),
}
BODIES: dict[str, Any] = {
    "no body": None,
    "nothing": {},
    "no type": {"connection_id": ONE},
    "no id": {"conn_type": "http"},
    "null id": {"connection_id": None, "conn_type": "http"},
    "empty id": {"connection_id": "", "conn_type": "http"},
    "space in id": {"connection_id": "a b", "conn_type": "http"},
    "slash in id": {"connection_id": "a/b", "conn_type": "http"},
    "colon in id": {"connection_id": "a:b", "conn_type": "http"},
    "line end in id": {"connection_id": "a\n", "conn_type": "http"},
    "euro in id": {"connection_id": "a€", "conn_type": "http"},
    "long id": {"connection_id": "x" * 201, "conn_type": "http"},
    "null type": {"connection_id": ONE, "conn_type": None},
    "number as type": {"connection_id": ONE, "conn_type": 5},
    "another field": {"connection_id": ONE, "conn_type": "http", "colour": "blue"},
    "field of the model": {"connection_id": ONE, "conn_type": "http", "is_encrypted": False},
    "text as port": {"connection_id": ONE, "conn_type": "http", "port": "many"},
    "list as host": {"connection_id": ONE, "conn_type": "http", "host": ["a"]},
    "number as password": {"connection_id": ONE, "conn_type": "http", "password": 12345},
    "object as extra": {"connection_id": ONE, "conn_type": "http", "extra": {"a": 1}},
    "no JSON as extra": {"connection_id": ONE, "conn_type": "http", "extra": "planted-no-json"},
    "list in extra": {"connection_id": ONE, "conn_type": "http", "extra": "[1]"},
    "null in extra": {"connection_id": ONE, "conn_type": "http", "extra": "null"},
    "mask as extra": {"connection_id": ONE, "conn_type": "http", "extra": "***"},
    "team without teams": {"connection_id": ONE, "conn_type": "http", "team_name": "blue"},
    "a list": [{"connection_id": ONE, "conn_type": "http"}],
}


def get(path: str = PATH, **options: Any) -> SharedCall:
    return SharedCall("GET", path, **options)


def post(name: str = ONE, **fields: Any) -> SharedCall:
    return SharedCall("POST", "/connections", json={"connection_id": name, "conn_type": "http", **fields})


def patch(mask: Any = None, name: str = ONE, **fields: Any) -> SharedCall:
    body = {"connection_id": name, "conn_type": "postgres", **fields}
    return SharedCall("PATCH", PATH, params=mask and {"update_mask": mask}, json=body)


def bulk(*actions: dict[str, Any], role: str | None = "admin") -> SharedCall:
    return SharedCall("PATCH", "/connections", json={"actions": list(actions)}, role=role)


def action(kind: str, *entities: Any, **options: Any) -> dict[str, Any]:
    return {"action": kind, "entities": list(entities), **options}


def listed(**params: Any) -> SharedCall:
    return get("/connections", params={"connection_id_pattern": "{side}", **params})


def body_of(name: str, **fields: Any) -> dict[str, Any]:
    return {"connection_id": name, "conn_type": "http", **fields}


CREATED = (
    get(note="unknown"),
    SharedCall("POST", "/connections", json={"connection_id": ONE, **WHOLE}, note="created"),
    get(note="masked"),
    SharedCall("POST", "/connections", json={"connection_id": ONE, **WHOLE}, note="exists"),
    post(TWO),
    get(f"/connections/{TWO}", note="all fields but two are null"),
    post("three_{side}", extra="", password="", port=0, host=""),
    get("/connections/three_{side}", note="an empty extra is an empty object"),
    post("zürich.日本-{side}", description="Beyond ASCII."),
    get("/connections/z%C3%BCrich.%E6%97%A5%E6%9C%AC-{side}"),
    post("four_{side}", port=70000, extra='{"a": {"password": null}, "b": ["x", 1.5, true]}'),
    get("/connections/four_{side}", note="ports are not bounded"),
    *(SharedCall("POST", "/connections", json=body, note=note) for note, body in BODIES.items()),
)
READ = (
    listed(),
    *(listed(order_by=order) for order in ("connection_id", "-conn_id", "conn_type", "-description")),
    *(listed(order_by=order) for order in ("host", "port", "id", "-id", "team_name", ["-conn_type", "port"])),
    *(get("/connections", params={"order_by": order}) for order in ("password", "extra", "colour", "login")),
    listed(limit=1),
    listed(limit=2, offset=1),
    listed(limit=0),
    listed(limit=-1),
    listed(limit="many"),
    listed(offset=-1),
    get("/connections", params={"connection_id_prefix_pattern": "one_{side}"}),
    get("/connections", params={"connection_id_prefix_pattern": "no such"}),
    get("/connections", params={"connection_id_pattern": "ONE_{side}|two_{side}"}),
    get("/connections/a%2Fb", note="slash"),
    get("/connections/a/b", note="slash"),
    get("/connections/a%20b"),
)
CHANGED = (
    patch(host="elsewhere.invalid"),
    get(note="other fields stay"),
    patch(password="planted-password-2"),
    patch(password=None),
    patch(password=""),
    get(note="null is no password to change to"),
    patch(password="***"),
    patch(extra=json.dumps({**EXTRA, "api_token": "***", "region": "south"})),
    get(note="a mask keeps what is stored"),
    patch(extra=json.dumps({"nested": {"passwd": "***"}, "new": 1})),
    patch(extra=None),
    get(note="no extra"),
    patch(extra=json.dumps(EXTRA)),
    patch(extra=""),
    patch(extra=json.dumps(EXTRA)),
    patch(["host", "port"], host="third.invalid", port=1, login="nobody", extra=None),
    get(note="only what the mask names"),
    patch(["schema", "description"], schema="other", description=None),
    patch(["extra"]),
    get(note="an extra that the mask names and the body lacks is emptied"),
    patch(["password"]),
    patch(["connection_id"], host="fourth.invalid"),
    get(),
    patch(description=None, host=None, login=None, schema=None, port=None),
    get(),
    patch(name=TWO),
    patch(name=NONE),
    SharedCall("PATCH", f"/connections/{NONE}", json=body_of(NONE), note="unknown"),
    SharedCall("PATCH", f"/connections/{NONE}", json=body_of(ONE), note="another id comes first"),
    *(SharedCall("PATCH", PATH, json=body, note=note) for note, body in BODIES.items()),
    get(note="nothing of what was refused happened"),
)
MANY = (
    bulk(),
    bulk(action("create"), action("update"), action("delete")),
    bulk(action("create", body_of("five_{side}", password="planted-five"), body_of("six_{side}"))),
    bulk(action("create", body_of("five_{side}"), body_of("seven_{side}"))),
    bulk(action("create", body_of("five_{side}"), body_of("seven_{side}"), action_on_existence="skip")),
    bulk(
        action(
            "create",
            body_of("five_{side}", host="over"),
            body_of("eight_{side}"),
            action_on_existence="overwrite",
        )
    ),
    get("/connections/five_{side}", note="fields that are not sent stay"),
    bulk(
        action("create", body_of("five_{side}", password=None, extra=None), action_on_existence="overwrite")
    ),
    get("/connections/five_{side}"),
    bulk(action("update", body_of("five_{side}", login="a", extra='{"token": "planted-t"}'), body_of(NONE))),
    bulk(action("update", body_of("five_{side}", login="b"), body_of(NONE), action_on_non_existence="skip")),
    bulk(action("update", body_of("six_{side}", extra='{"token": "planted-six"}'))),
    bulk(action("update", body_of("six_{side}", extra='{"token": "***", "a": 1}', password=None))),
    bulk(action("update", body_of("six_{side}", port=1), body_of("six_{side}", host="twice"))),
    get("/connections/six_{side}"),
    bulk(action("delete", "six_{side}", NONE)),
    bulk(action("delete", "six_{side}", NONE, action_on_non_existence="skip")),
    get("/connections/six_{side}"),
    bulk(action("delete", "seven_{side}"), action("create", body_of("nine_{side}")), action("delete", NONE)),
    *(
        bulk(action("delete", "nine_{side}", name, action_on_non_existence=policy))
        for policy in ("fail", "skip")
        for name in ("", "x" * 300, "a b")
    ),
    *(bulk(action("create", body), role="admin") for body in BODIES.values()),
    *(bulk(action("update", body), role="admin") for body in BODIES.values()),
    bulk(action("create", body_of(ONE), action_on_existence="perhaps")),
    bulk(action("update", body_of(ONE), action_on_non_existence="overwrite")),
    bulk(action("delete", body_of(ONE), colour="blue")),
    bulk({"action": "delete"}),
    SharedCall("PATCH", "/connections", json={}),
    SharedCall("PATCH", "/connections", json={"actions": "all"}),
)
DELETED = (
    SharedCall("DELETE", PATH, note="deleted"),
    SharedCall("DELETE", PATH, note="gone"),
    get(),
)
ROLES = (None, "nobody", "viewer", "user", "op", "admin")
WHO = tuple(
    call
    for role in ROLES
    for call in (
        get("/connections", params={"connection_id_pattern": "two_{side}"}, role=role),
        get(f"/connections/{TWO}", role=role),
        get(f"/connections/{NONE}", role=role),
        SharedCall("POST", "/connections", json=body_of(TWO), role=role),
        SharedCall("PATCH", f"/connections/{TWO}", json=body_of(TWO), role=role),
        SharedCall("PATCH", f"/connections/{NONE}", json=body_of(NONE), role=role),
        bulk(role=role),
        bulk(action("create", body_of(TWO)), role=role),
        bulk(action("create", body_of(TWO), action_on_existence="overwrite"), role=role),
        bulk(action("update", body_of(TWO)), role=role),
        bulk(action("delete", NONE), role=role),
        SharedCall("DELETE", f"/connections/{NONE}", role=role),
    )
)

# Where there are teams, `blue` and `red`.
OF_TEAMS = (
    post(team_name="blue"),
    post(TWO, team_name="none"),
    *(get(role=role) for role in ROLES),
    *(get("/connections", params={"connection_id_pattern": ONE}, role=role) for role in ROLES),
    listed(order_by="team_name"),
    patch(team_name="red"),
    patch(team_name="none"),
    patch(["host"], host="elsewhere.invalid", team_name="blue"),
    get(note="the team is not in the mask"),
    patch(team_name=None),
    get(note="no team"),
    bulk(action("update", body_of(ONE, team_name="blue"))),
    bulk(action("create", body_of(TWO, team_name="blue"), action_on_existence="overwrite")),
    *(SharedCall("PATCH", PATH, json=body_of(ONE, team_name="red"), role=role) for role in ROLES),
    *(bulk(action("update", body_of(ONE, team_name="blue")), role=role) for role in ROLES),
    *(bulk(action("create", body_of(TWO), action_on_existence="overwrite"), role=role) for role in ROLES),
    *(SharedCall("DELETE", f"/connections/{TWO}", role=role) for role in ROLES),
)
CALLS = (*CREATED, *READ, *CHANGED, *MANY, *DELETED, *WHO)

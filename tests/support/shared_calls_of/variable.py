"""Variables: the calls that `/api/v2` has too."""

from __future__ import annotations

from typing import Any

from tests.support.bulk import create, delete, update
from tests.support.shared_calls import SharedCall

SEEN = "/variables/seen_{side}"
# Every role, and what the lowest of them may not do.
ROLES = ("admin", "op", "user", "viewer", "nobody", None)
ANY_JSON: tuple[Any, ...] = (
    *("", "text", "null", ' {"a":1}', "Grüße\n\t", None, True, 0, -1.5, 1e22, [], {}, [1, [None, "a"]]),
    {"b": {"ä": [1, 2]}, "a": ""},
    {"password": "from-a-test", "deep": [{"api_key": "another-one"}]},
    "***x***",
)


def named(key: str, value: Any = "1", **fields: Any) -> dict[str, Any]:
    return {"key": key, "value": value, **fields}


def _values() -> list[SharedCall]:
    """Every kind of value, under a plain and under a sensitive key."""
    keys = ("value_{side}", "secret_{side}")
    return [
        SharedCall("PATCH", "/variables", json=create(*(named(key) for key in keys))),
        *(
            SharedCall("PATCH", f"/variables/{key}", json=named(key, value))
            for value in ANY_JSON
            for key in keys
        ),
        SharedCall("POST", "/variables", json=named("created_{side}", ANY_JSON[-2])),
        SharedCall("GET", "/variables/created_{side}"),
    ]


def _keys() -> list[SharedCall]:
    """Keys with all that an address may hold."""
    calls = []
    for key in (
        *("a/b_{side}", "a//b_{side}", "/a_{side}", "a_{side}/", "ü {side}", "{side}.", "x_{side}/reveal"),
        *("{side}%", "{side}#?", "reveal_{side}", "a;b,c={side}", "x" * 240 + "_{side}"),
    ):
        place = "/variables/" + key.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
        calls += [
            SharedCall("POST", "/variables", json=named(key, "1")),
            SharedCall("GET", place),
            SharedCall("PATCH", place, json=named(key, "2")),
            SharedCall("DELETE", place),
        ]
    return calls


def _changes() -> list[SharedCall]:
    there = named("seen_{side}", {"a": 1}, description="Seen.")
    wishes: tuple[tuple[Any, dict[str, Any]], ...] = (
        (None, named("seen_{side}", "2")),
        (None, named("seen_{side}", "3", description=None)),
        (None, named("seen_{side}", [1], description="New.", team_name=None)),
        (["description"], named("seen_{side}", "4", description="Masked.")),
        (["value"], named("seen_{side}", "5", description="Not this.")),
        (["description"], named("seen_{side}", "6")),
        (["key"], named("seen_{side}", "9")),
        (["value", "key"], named("seen_{side}", "9")),
    )
    calls = [
        SharedCall("POST", "/variables", json=there),
        SharedCall("POST", "/variables", json=there, note="There is one."),
        SharedCall("GET", SEEN),
    ]
    for mask, body in wishes:
        calls.append(SharedCall("PATCH", SEEN, params=mask and {"update_mask": mask}, json=body))
        calls.append(SharedCall("GET", SEEN))
    return calls


def _lists() -> list[SharedCall]:
    body = create(*(named(f"list_{{side}}_{name}", name) for name in ("b", "A", "c", "_d")))
    pages: tuple[dict[str, Any], ...] = (
        {},
        *({"order_by": [name]} for name in ("key", "-key", "id", "-id", "description", "is_encrypted")),
        *({"order_by": names} for names in (["team_name", "-key"], ["-is_encrypted", "key"])),
        *({"order_by": ["unheard_of"]}, {"order_by": ["val"]}, {"order_by": ["key"] * 11}),
        *({"limit": 2}, {"limit": 2, "offset": 3}, {"limit": 0}, {"limit": -1}, {"offset": "x"}),
        *({"variable_key_pattern": term} for term in ("A", "%d", "_d", "b|c", "none", "~", "")),
        *({"variable_key_prefix_pattern": f"list_{{side}}_{term}"} for term in ("b", "B", "")),
    )
    prefix = {"variable_key_prefix_pattern": "list_{side}"}
    return [
        SharedCall("PATCH", "/variables", json=body),
        *(SharedCall("GET", "/variables", params={**prefix, **page}) for page in pages),
    ]


def _bulk() -> list[SharedCall]:
    one, other, third = "one_{side}", "other_{side}", "third_{side}"
    bodies: tuple[Any, ...] = (
        {"actions": []},
        *(make() for make in (create, update, delete)),
        create(named(one, {"a": 1}, description="One."), named(other)),
        create(named(one, "again"), named(third)),
        create(named(one, "again"), named(third), action_on_existence="fail"),
        create(named(one, "again"), named(third), action_on_existence="skip"),
        create(named(one, "over", description="Over."), named(third), action_on_existence="overwrite"),
        create(named(one, "over"), named("twice_{side}"), action_on_existence="overwrite"),
        create(named("twice_{side}_", "1"), named("twice_{side}_", "2"), action_on_existence="skip"),
        update(named(one, "new"), named("missing_{side}")),
        update(named(one, "new"), named("missing_{side}"), action_on_non_existence="skip"),
        update(named(one, "new", description="x"), update_mask=["description"]),
        update(named(one, "newer"), named(other, "newer"), update_mask=["key"]),
        update(named(one, "newer"), update_mask=None),
        update(named("missing_{side}"), update_mask=["key"], action_on_non_existence="skip"),
        delete(one, "missing_{side}"),
        delete(one, "missing_{side}", action_on_non_existence="skip"),
        delete(other, other, third),
        {
            "actions": create(named(one))["actions"]
            + update(named(one, "2"))["actions"]
            + create(named(one))["actions"]
            + delete("missing_{side}")["actions"]
        },
        create(named(one), named(other), named(third), action_on_existence="skip"),
        *(
            make(*entities, action_on_non_existence=policy)
            for policy in ("skip", "fail")
            for make, entities in (
                (delete, (one, "x" * 300)),
                (delete, (other, "")),
                (update, (named("", "1"), named(third, "2"))),
            )
        ),
        # Malformed.
        *({}, {"actions": None}, {"actions": [{"action": "update"}]}, {"actions": [], "more": 1}),
        *(create("a text"), create({"key": "a"}), update(named("a"), action_on_non_existence="overwrite")),
        *(create(named("a", more=1)), create(named("a" * 251)), create(named("a"), action_on_existence="x")),
        create(named("a", team_name="a team")),
    )
    calls = []
    for body in bodies:
        calls.append(SharedCall("PATCH", "/variables", json=body))
        page = {"variable_key_pattern": "one_{side}|other_{side}|third_{side}|twice_{side}"}
        calls.append(SharedCall("GET", "/variables", params={**page, "order_by": ["key"]}))
    return calls


MALFORMED: tuple[Any, ...] = (
    *({}, {"key": "a"}, {"value": "1"}, {"key": 1, "value": "1"}, {"key": None, "value": "1"}, [], "text"),
    *(named("a" * 251), named("a", more=1), named("a", description=1), named("a", team_name="a team")),
    named("a", team_name="a" * 51),
)
REFUSED: tuple[SharedCall, ...] = (
    *(SharedCall("POST", "/variables", json=body) for body in MALFORMED),
    *(SharedCall("PATCH", SEEN, json=body) for body in MALFORMED[1:]),
    SharedCall("PATCH", SEEN, json=named("another")),
    SharedCall("PATCH", "/variables/missing", json=named("missing")),
    SharedCall("PATCH", "/variables/missing", json=named("another")),
    SharedCall("GET", "/variables/missing"),
    SharedCall("DELETE", "/variables/missing"),
)


def _roles() -> list[SharedCall]:
    """What each role may do; what is made is deleted again by the administrator."""
    calls = []
    for role in ROLES:
        body = named("role_{side}")
        bulks = (
            *(
                create(body),
                create(body, action_on_existence="overwrite"),
                update(body),
                delete("role_{side}"),
            ),
            {"actions": []},
        )
        calls += [
            *(SharedCall("GET", place, role=role) for place in ("/variables/missing", SEEN)),
            SharedCall("GET", "/variables", params={"variable_key_pattern": "list_{side}"}, role=role),
            SharedCall("POST", "/variables", json=body, role=role),
            SharedCall("PATCH", "/variables/role_{side}", json=body, role=role),
            SharedCall("PATCH", "/variables/missing", json=named("another"), role=role),
            SharedCall("DELETE", "/variables/role_{side}", role=role),
            *(SharedCall("PATCH", "/variables", json=bulk, role=role) for bulk in bulks),
        ]
    return calls


CALLS: tuple[SharedCall, ...] = (
    *_changes(),
    *REFUSED,
    *_values(),
    *_keys(),
    *_lists(),
    *_bulk(),
    *_roles(),
)

# Where there are teams, `blue` and `red`.
OF_TEAMS: tuple[SharedCall, ...] = (
    SharedCall("POST", "/variables", json=named("seen_{side}", "1", team_name="blue")),
    SharedCall("POST", "/variables", json=named("other_{side}", "1", team_name="none")),
    SharedCall("GET", SEEN),
    SharedCall(
        "GET", "/variables", params={"order_by": ["team_name"], "variable_key_pattern": "seen_{side}"}
    ),
    SharedCall("PATCH", SEEN, json=named("seen_{side}", "2", team_name="red")),
    SharedCall("PATCH", SEEN, json=named("seen_{side}", "3", team_name="none")),
    SharedCall(
        "PATCH", SEEN, params={"update_mask": ["value"]}, json=named("seen_{side}", "4", team_name="blue")
    ),
    SharedCall("PATCH", SEEN, json=named("seen_{side}", "5")),
    *(
        SharedCall("PATCH", SEEN, json=named("seen_{side}", "6", team_name="red"), role=role)
        for role in ROLES
    ),
    SharedCall("PATCH", "/variables", json=update(named("seen_{side}", "7", team_name="blue"))),
    SharedCall("PATCH", SEEN, json=named("seen_{side}", "8", team_name=None)),
    SharedCall("GET", SEEN),
)

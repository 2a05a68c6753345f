"""Pools: what both services know of them, every operation and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.shared_calls import SharedCall

# Its name has slashes, blanks and what addresses take for something else; `%20` and `%2F` stand in the address.
NAME = "seen/by {side} of 50% ä"
PLACE = "/pools/seen/by%20{side}%20of%2050%25%20ä"
WHOLE = {"pool": NAME, "slots": 5, "include_deferred": True}
ROLES = (None, "nobody", "viewer", "user", "op", "admin")


def call(method: str, path: str, json: Any = None, **options: Any) -> SharedCall:
    return SharedCall(method, path, json=json, **options)


def bulk(*actions: Any, **options: Any) -> SharedCall:
    return call("PATCH", "/pools", {"actions": list(actions)}, **options)


def action(kind: str, *entities: Any, **options: Any) -> dict[str, Any]:
    return {"action": kind, "entities": list(entities), **options}


def pool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "slots": 1, **fields}


def created() -> Iterator[SharedCall]:
    """Creating: what is stored for what is left out, and all that is refused."""
    yield call("POST", "/pools", {"name": NAME, "slots": 3})
    yield call("POST", "/pools", {"name": NAME, "slots": 3}, note="a second time")
    yield call("POST", "/pools", {"name": "default_pool", "slots": 3})
    full = {"slots": -1, "description": "Many.", "include_deferred": True, "team_name": None}
    yield call("POST", "/pools", {"name": "full_{side}", **full})
    yield call("POST", "/pools", {"name": "none_{side}", "slots": 0, "description": None})
    yield call("POST", "/pools", {"pool": "by_{side}", "slots": 3}, note="named by `pool`")
    yield call("POST", "/pools", {"pool": "by_{side}", "slots": 3}, note="named by `pool`, a second time")
    yield call("POST", "/pools", {"name": "by_{side}", "pool": "by_{side}", "slots": 3})
    yield call("POST", "/pools", {"pool": None, "slots": 3})
    # Two hundred and fifty-six characters and one more, whatever the side is called.
    yield call("POST", "/pools", {"name": "x" * 252 + "{side}", "slots": 1})
    yield call("POST", "/pools", {"name": "y" * 253 + "{side}", "slots": 1})
    bodies: tuple[Any, ...] = (
        {},
        [],
        {"slots": 1},
        {"name": "bad_{side}"},
        {"name": 1, "slots": 1},
        {"name": None, "slots": 1},
        {"name": "bad_{side}", "slots": None},
        {"name": "bad_{side}", "slots": -2},
        {"name": "bad_{side}", "slots": 1.5},
        {"name": "bad_{side}", "slots": "many"},
        {"name": "bad_{side}", "slots": 1, "include_deferred": None},
        {"name": "bad_{side}", "slots": 1, "include_deferred": "perhaps"},
        {"name": "bad_{side}", "slots": 1, "description": 1},
        {"name": "bad_{side}", "slots": 1, "colour": "blue"},
        {"name": "bad_{side}", "slots": 1, "open_slots": 1},
        {"name": "bad_{side}", "slots": 1, "team_name": "red"},
    )
    yield from (call("POST", "/pools", body, note=f"creating {body}") for body in bodies)


def read() -> Iterator[SharedCall]:
    """Reading one and many."""
    for place in (PLACE, PLACE.replace("/by", "%2Fby"), "/pools/full_{side}", "/pools/default_pool"):
        yield call("GET", place)
    for place in ("/pools/no_{side}", "/pools/full_{side}/", "/pools/full_{side}//x", "/pools/FULL_{side}"):
        yield call("GET", place)
    yield call("GET", "/pools/" + "x" * 252 + "{side}")
    ours = {"pool_name_pattern": "{side}"}
    queries: tuple[dict[str, Any], ...] = (
        ours,
        {**ours, "order_by": "-name"},
        {**ours, "order_by": ["pool"], "limit": 2},
        {**ours, "order_by": ["-id", "name"], "limit": 1, "offset": 1},
        {**ours, "limit": 0},
        {**ours, "offset": 100},
        {"pool_name_pattern": "FULL_{side}"},
        {"pool_name_pattern": "full_{side} | none_{side}"},
        {"pool_name_prefix_pattern": "full_{side}|seen/by {side}"},
        {"pool_name_prefix_pattern": "Full_{side}"},
        {"pool_name_pattern": "no such pool"},
        {"pool_name_prefix_pattern": "default", "limit": 100000},
        {"pool_name_pattern": "row"},
        {"order_by": "slots"},
        {"order_by": ["id"] * 11},
        {"limit": -1},
        {"offset": "many"},
    )
    yield from (SharedCall("GET", "/pools", params=query, note=f"listing {query}") for query in queries)


def changed() -> Iterator[SharedCall]:
    """Changing, with and without a mask."""
    masks: tuple[Any, ...] = ("slots", ["slots", "description"], ["name"], [])
    bodies: tuple[Any, ...] = (
        WHOLE,
        {**WHOLE, "description": "Wide."},
        {**WHOLE, "description": None, "team_name": None},
        {"name": NAME, "slots": -1, "include_deferred": False},
        {"slots": 7},
        {"pool": NAME, "slots": 7},
        {"slots": 7, "include_deferred": True},
        {**WHOLE, "slots": None},
        {**WHOLE, "include_deferred": None},
        {**WHOLE, "slots": -2},
        {**WHOLE, "pool": "another"},
        {**WHOLE, "pool": None},
        {**WHOLE, "open_slots": 1},
        {**WHOLE, "team_name": "red"},
        {},
        [],
    )
    for body in bodies:
        yield call("PATCH", PLACE, body, note=f"changing to {body}")
        yield call("GET", PLACE, note=f"after {body}")
    for mask in masks:
        wider = {**WHOLE, "slots": 9, "description": f"After {mask}."}
        yield call("PATCH", PLACE, wider, params={"update_mask": mask}, note=f"of {mask}")
    yield call("PATCH", PLACE, {"slots": 7}, params={"update_mask": ["slots"]}, note="a part by mask")
    yield call("PATCH", "/pools/no_{side}", {**WHOLE, "pool": "no_{side}"})
    yield call("PATCH", "/pools/no_{side}", {**WHOLE, "pool": "no_{side}", "team_name": "red"})


def changed_default() -> Iterator[SharedCall]:
    """Of `default_pool` only two fields can be changed, by a mask."""
    whole = {"pool": "default_pool", "slots": 64, "include_deferred": True, "description": "Ours."}
    for mask in (None, [], "slots", ["slots", "include_deferred"], ["slots", "description"], ["pool"]):
        params = {"update_mask": mask} if mask is not None else None
        yield call("PATCH", "/pools/default_pool", whole, params=params, note=f"the default pool, {mask}")
    part = {"include_deferred": False}
    yield call("PATCH", "/pools/default_pool", part, params={"update_mask": ["slots", "include_deferred"]})
    yield call("PATCH", "/pools/default_pool", part)
    yield call("PATCH", "/pools/default_pool", {"slots": -2}, params={"update_mask": "slots"})
    yield call("PATCH", "/pools/default_pool", {}, params={"update_mask": "slots"})
    yield call("GET", "/pools/default_pool")


def in_bulk() -> Iterator[SharedCall]:
    """Many at once: what exists and what does not, and what undoes the whole request."""
    first, second = "bulk_1_{side}", "bulk_2_{side}"
    listed = SharedCall("GET", "/pools", params={"pool_name_prefix_pattern": "bulk_"}, role=None)
    yield bulk(
        action("create", pool(first), pool(second, slots=2, description="Two.", include_deferred=True))
    )
    by_pool = {"pool": "by_pool_{side}", "slots": 2, "include_deferred": True}
    yield bulk(action("create", by_pool), action("update", {**by_pool, "slots": 3}))
    yield bulk(action("create", {"name": "by_pool_{side}", **by_pool}), note="`name` and `pool`")
    yield call("DELETE", "/pools/by_pool_{side}")
    for policy in ("fail", "skip", "overwrite", None):
        options = {"action_on_existence": policy} if policy else {}
        entities = pool(first, slots=8), pool(f"{policy}_{{side}}", description="New.")
        yield bulk(action("create", *entities, **options), note=f"creating what exists, {policy}")
        yield call("GET", f"/pools/{first}")
    yield bulk(action("create", pool("default_pool", slots=50), action_on_existence="overwrite"))
    yield bulk(action("create", pool("twice_{side}"), pool("twice_{side}")), note="one name twice")
    yield call("GET", "/pools/twice_{side}")
    whole = {"slots": 4, "include_deferred": False, "description": "Set."}
    for policy in ("fail", "skip", None):
        options = {"action_on_non_existence": policy} if policy else {}
        yield bulk(action("update", pool("no_{side}", **whole), pool(second, **whole), **options))
        yield call("GET", f"/pools/{second}")
        yield bulk(action("delete", "no_{side}", f"{policy}_{{side}}", **options), note=f"deleting, {policy}")
    for policy in ("skip", "fail"):
        options = {"action_on_non_existence": policy}
        yield bulk(
            action("update", pool("", **whole), pool(second, **whole), **options), note=f"no name, {policy}"
        )
        for name in ("", "x" * 300):
            yield bulk(
                action("delete", name, f"{policy}_{{side}}", **options), note=f"{name[:3]!r}, {policy}"
            )
    yield bulk(action("update", pool(first, **whole), update_mask=["slots", "name"]))
    yield bulk(action("update", pool(first, slots=6)), note="an update without include_deferred")
    yield bulk(
        action("update", pool(second, **whole), pool("default_pool", **whole), pool(first, **whole)),
        note="an update that stops at the default pool",
    )
    yield bulk(action("update", pool("default_pool", **whole), update_mask=["slots"]))
    yield call("GET", f"/pools/{first}")
    # Airflow does not know that it has deleted something in the same request (`test_pool.py`).
    yield bulk(
        action("create", pool("both_{side}", slots=3)),
        action("update", pool("both_{side}", **whole), pool(first, **whole)),
        action("delete", "gone_{side}", second, second),
        action("delete", first, first),
        note="one after the other",
    )
    yield from (
        bulk(*actions, note=f"bulk {actions}") for actions in ([], [action("update")], [action("delete")])
    )
    for wrong in (
        {"action": "create"},
        action("update", "a text"),
        action("create", "a text"),
        action("create", pool("bad_{side}", slots=-2)),
        action("create", pool("bad_{side}", team_name="red")),
        action("update", pool("bad_{side}", team_name="red")),
        action("update", pool("bad_{side}", colour="blue")),
        action("delete", first, action_on_non_existence="perhaps"),
        action("delete", first, action_on_existence="fail"),
    ):
        yield bulk(wrong, note=f"bulk {wrong}")
    yield call("PATCH", "/pools", {})
    yield call("GET", f"/pools/{second}")
    yield listed


def deleted() -> Iterator[SharedCall]:
    """Deleting, and deleting again."""
    for place in (PLACE, PLACE, "/pools/default_pool", "/pools/no_{side}", "/pools/full_{side}"):
        yield call("DELETE", place)
    yield call("GET", PLACE)


def permitted() -> Iterator[SharedCall]:
    """Everything as everybody."""
    for role in ROLES:
        name = f"of_{role}_{{side}}"
        yield call("GET", "/pools", params={"pool_name_pattern": "row"}, role=role)
        yield call("GET", "/pools/narrow", role=role)
        yield call("GET", "/pools/no_{side}", role=role)
        yield call("POST", "/pools", pool(name), role=role)
        yield call("PATCH", f"/pools/{name}", {**WHOLE, "pool": name}, role=role)
        yield call("PATCH", "/pools/default_pool", {}, role=role)
        yield bulk(action("create", pool(f"bulk_{name}")), role=role)
        yield bulk(action("create", pool(f"bulk_{name}"), action_on_existence="overwrite"), role=role)
        yield bulk(action("update", pool(f"bulk_{name}", include_deferred=True)), role=role)
        yield bulk(action("delete", f"bulk_{name}"), role=role)
        yield bulk(role=role)
        yield call("DELETE", f"/pools/{name}", role=role)
        yield call("DELETE", "/pools/default_pool", role=role)


def of_teams() -> Iterator[SharedCall]:
    """Where there are teams, `blue` and `red`."""
    name, place = "team_{side}", "/pools/team_{side}"
    whole = {"pool": name, "slots": 2, "include_deferred": False}
    yield call("POST", "/pools", pool(name, team_name="blue"))
    yield call("POST", "/pools", pool("other_{side}", team_name="none"))
    yield call("PATCH", place, {**whole, "team_name": "none"})
    yield call("PATCH", place, {**whole, "team_name": "red"})
    yield call("PATCH", place, {**whole, "team_name": "blue"}, params={"update_mask": "slots"})
    yield call("GET", place, note="the team is not in the mask")
    yield bulk(action("create", pool(name, slots=4), action_on_existence="overwrite"))
    yield call("GET", place, note="overwritten, and of its team")
    yield call("PATCH", "/pools/default_pool", {"team_name": "red"}, params={"update_mask": "team_name"})
    for role in ROLES:
        yield call("GET", place, role=role)
        yield call("GET", "/pools", params={"pool_name_pattern": name}, role=role)
        yield call("PATCH", place, {**whole, "team_name": "red"}, role=role)
        yield bulk(action("update", pool(name, include_deferred=True, team_name="blue")), role=role)
        yield bulk(action("create", pool(name), action_on_existence="overwrite"), role=role)
        yield call("DELETE", place, role=role)


OF_TEAMS = tuple(of_teams())
CALLS: tuple[SharedCall, ...] = tuple(
    one for story in (created, read, changed, changed_default, in_bulk, deleted, permitted) for one in story()
)

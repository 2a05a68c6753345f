"""Mentions: which variables and connections a DAG file names, found in its text without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

# `{{ var.value.name }}`, `{{ var.json.name.field }}`, `{{ conn.name.host }}`, and the forms with `.get('name')`.
_VARIABLE = re.compile(
    r"\bvar\s*\.\s*(?:value|json)\s*\.\s*(?:get\s*\(\s*['\"]([^'\"]+)['\"]|([A-Za-z_]\w*))"
)
_CONNECTION = re.compile(r"\bconn\s*\.\s*(?:get\s*\(\s*['\"]([^'\"]+)['\"]|([A-Za-z_]\w*))")
_CONN_ID = "conn_id"
# No key or id of Airflow is longer.
_MOST = 250


def mentions(source: str) -> tuple[set[str], set[str]]:
    """Return the keys of variables and the ids of connections that the source names as constants.

    Raises what `ast.parse` raises for a text that is no Python.
    """
    variables: set[str] = set()
    connections: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{{" in node.value:
            variables.update(_named(_VARIABLE, node.value))
            connections.update(_named(_CONNECTION, node.value))
        elif isinstance(node, ast.Call):
            variables.update(_variable(node))
            connections.update(_connections(node))
    return variables, connections - {"get"}


def _named(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    names = (quoted or plain for quoted, plain in pattern.findall(text))
    return (name for name in names if name != "get" and len(name) <= _MOST)


def _variable(call: ast.Call) -> Iterator[str]:
    """Yield the key of `Variable.get("key")`, unless a default says that it may be missing."""
    if _dotted(call.func) != ("Variable", "get") or len(call.args) > 1:
        return
    if not any(keyword.arg in ("default", "default_var") for keyword in call.keywords):
        yield from _constants([*call.args[:1], *_keywords(call, "key")])


def _connections(call: ast.Call) -> Iterator[str]:
    if _dotted(call.func)[-1:] in (("get_connection",), ("get_connection_from_secrets",)):
        yield from _constants([*call.args[:1], *_keywords(call, _CONN_ID)])
    yield from _constants(
        keyword.value for keyword in call.keywords if (keyword.arg or "").endswith(_CONN_ID)
    )


def _keywords(call: ast.Call, name: str) -> Iterator[ast.expr]:
    return (keyword.value for keyword in call.keywords if keyword.arg == name)


def _constants(nodes: Iterator[ast.expr] | list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and 0 < len(node.value) <= _MOST
            and "{{" not in node.value
        ):
            yield node.value


def _dotted(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (*_dotted(node.value), node.attr)[-2:]
    return (node.id,) if isinstance(node, ast.Name) else ()

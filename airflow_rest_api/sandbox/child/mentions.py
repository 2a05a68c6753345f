"""Mentions: what a DAG file names, found in its text without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_rest_api.sandbox import removed_names

# `{{ var.value.name }}`, `{{ var.json.name.field }}`, `{{ conn.name.host }}`, and the forms with `.get('name')`.
_VARIABLE = re.compile(
    r"\bvar\s*\.\s*(?:value|json)\s*\.\s*(?:get\s*\(\s*['\"]([^'\"]+)['\"]|([A-Za-z_]\w*))"
)
_CONNECTION = re.compile(r"\bconn\s*\.\s*(?:get\s*\(\s*['\"]([^'\"]+)['\"]|([A-Za-z_]\w*))")
_CONN_ID = "conn_id"
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_REMOVED = re.compile(rf"(?<![\w.'\"])(?:dag_run\.)?({'|'.join(removed_names.CONTEXT)})\b")
# What a task's context is called by custom.
_CONTEXTS = ("context", "kwargs", "ctx")
# No key or id of Airflow is longer.
_MOST = 250


@dataclass
class Mentions:
    """The constants by which a source names things.

    ``variables`` are keys and ``connections`` ids of Airflow, ``environment`` the names of environment variables that
    have no default, and ``removed`` the template variables that Airflow 3 has removed.
    """

    variables: set[str] = field(default_factory=set)
    connections: set[str] = field(default_factory=set)
    environment: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


def mentions(source: str) -> Mentions:
    """Return what the source names; raises what `ast.parse` raises for a text that is not Python."""
    found = Mentions()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{" in node.value:
            _add_templates(found, node.value)
        elif isinstance(node, ast.Call):
            found.variables.update(_variable(node))
            found.connections.update(_connections(node))
            found.environment.update(_environment(node))
        elif isinstance(node, ast.Subscript):
            _add_subscript(found, node)
    found.connections.discard("get")
    return found


def _add_templates(found: Mentions, text: str) -> None:
    found.variables.update(_named(_VARIABLE, text))
    found.connections.update(_named(_CONNECTION, text))
    for template in _TEMPLATE.findall(text):
        found.removed.update(_REMOVED.findall(template))


def _add_subscript(found: Mentions, node: ast.Subscript) -> None:
    names, owner = set(_constants([node.slice])), _dotted(node.value)[-1:]
    if owner == ("environ",):
        found.environment |= names
    elif owner and owner[0] in _CONTEXTS:
        found.removed |= names & removed_names.CONTEXT.keys()


def _environment(call: ast.Call) -> Iterator[str]:
    """Yield the name of `os.getenv("NAME")` and `os.environ.get("NAME")`, unless there is a default."""
    is_reading = _dotted(call.func)[-1:] == ("getenv",) or _dotted(call.func) == ("environ", "get")
    if is_reading and len(call.args) == 1 and not call.keywords:
        yield from _constants(call.args)


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

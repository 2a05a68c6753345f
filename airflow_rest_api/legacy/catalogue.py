"""Catalogue: the old calls as their contract describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.web import contract
from airflow_rest_api.web.contract import Document, Operation

EXTENSION = "x-legacy"
# What Clairvoyant's plugin left to a command of Airflow 1.
COMMANDS = ("command", "background")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Argument:
    """One argument of an old call; ``position`` is its place among the positional ones of the old command.

    ``is_part`` is one that the old command had no option for: the plugin made an option of several.
    """

    name: str
    is_flag: bool = False
    is_file: bool = False
    is_ignored: bool = False
    is_part: bool = False
    position: int | None = None

    @property
    def variable(self) -> str:
        """The name under which the handler gets the value."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class OldCall:
    """One old call: who had it, what it takes, and the operation of version 1 that does the same."""

    name: str
    plugins: tuple[str, ...]
    kind: str | None
    successor: str
    fixed: tuple[str, ...]
    arguments: tuple[Argument, ...]
    required: Mapping[str, tuple[str, ...]]
    operations: Mapping[str, Operation]

    @property
    def names(self) -> list[str]:
        """What the handler is given, beside the call itself."""
        return [entry.variable for entry in self.arguments if not entry.is_ignored]

    @property
    def takes_body(self) -> bool:
        """Whether the handler takes the body: the form's fields are arguments."""
        return False

    @property
    def takes_files(self) -> bool:
        """Whether the call takes a file."""
        return any(entry.is_file for entry in self.arguments)

    @property
    def changes(self) -> bool:
        """Whether the call changes something."""
        return any(not operation.read_only for operation in self.operations.values())

    def operation(self, method: str) -> Operation:
        """Return the operation of a method; the only one there is where the contract has no other."""
        return self.operations.get(method) or next(iter(self.operations.values()))

    def arguments_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the handler is given, absent ones as None, and flags as what they are."""
        given = [entry for entry in self.arguments if not entry.is_ignored]
        return {
            entry.variable: bool(values.get(entry.name)) if entry.is_flag else values.get(entry.name)
            for entry in given
        }


def of(document: Document, operations: Sequence[Operation]) -> dict[str, OldCall]:
    """Return the old calls of a contract by name; raises `ContractError` for one that is not described."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.path.removeprefix("/"), []).append(operation)
    return {name: _old_call(document, name, entries) for name, entries in found.items()}


def _old_call(document: Document, name: str, operations: list[Operation]) -> OldCall:
    rule = document["paths"][f"/{name}"].get(EXTENSION)
    if rule is None:
        raise contract.ContractError(f"the old call '{name}' has no {EXTENSION}")
    arguments = tuple(_arguments(document, operations))
    needed = tuple(
        entry["name"] for entry in contract.parameters(document, operations[0]) if entry.get("required")
    )
    return OldCall(
        name=name,
        plugins=tuple(rule["plugins"]),
        kind=rule.get("kind"),
        successor=rule["successor"],
        fixed=tuple(rule.get("fixed", ())),
        arguments=arguments,
        required={plugin: tuple(rule.get("required", {}).get(plugin, needed)) for plugin in rule["plugins"]},
        operations={operation.method: operation for operation in operations},
    )


def _arguments(document: Document, operations: list[Operation]) -> Iterator[Argument]:
    seen = set()
    for entry in contract.parameters(document, operations[0]):
        seen.add(entry["name"])
        yield _argument(entry["name"], entry, contract.dereference(document, entry["schema"]))
    for name, schema in _fields(document, operations).items():
        if name not in seen:
            yield _argument(name, schema, schema)


def _argument(name: str, entry: Mapping[str, Any], schema: Mapping[str, Any]) -> Argument:
    return Argument(
        name=name,
        is_flag=schema["type"] == "boolean",
        is_file=schema.get("format") == "binary",
        is_ignored=entry.get("x-ignored", False),
        is_part=entry.get("x-part", False),
        position=entry.get("x-position"),
    )


def _fields(document: Document, operations: list[Operation]) -> dict[str, Mapping[str, Any]]:
    bodies = [
        operation.definition["requestBody"]["content"] for operation in operations if _has_form(operation)
    ]
    media = [content[form] for content in bodies for form in _FORMS if form in content]
    if not media:
        return {}
    schema = contract.dereference(document, media[0]["schema"])
    return {
        name: contract.dereference(document, field) for name, field in schema.get("properties", {}).items()
    }


def _has_form(operation: Operation) -> bool:
    return "requestBody" in operation.definition

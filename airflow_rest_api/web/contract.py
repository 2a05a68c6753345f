"""The contract: reading its files, bundling them into one document, and the list of its operations."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PACKAGE = "airflow_rest_api.openapi"
JSON = "application/json"
FORM = "multipart/form-data"
URL_ENCODED = "application/x-www-form-urlencoded"
# How the application sees the contracts below its prefix; the document itself names the public address.
BASE_PATHS = {"openapi.yaml": "/v1", "legacy.yaml": "/api", "legacy_security.yaml": "/security"}

Document = dict[str, Any]


class ContractError(Exception):
    """The contract is broken: the message says where, in one line."""


@dataclass(frozen=True)
class Operation:
    """One operation of a contract, as far as the web frame needs to know it."""

    operation_id: str
    tag: str
    method: str
    path: str
    status: int
    media_types: tuple[str, ...]
    access: tuple[Mapping[str, Any], ...] | None
    anonymous: bool
    read_only: bool
    definition: Mapping[str, Any]
    # What its body's field `dry_run` is when it is absent; None where it has no such field.
    dry_run_default: bool | None = None
    # The setting that bounds its body, or for each file of its form the one that bounds that file.
    body_limit: str | Mapping[str, str] = "max_body_kib"
    # Of a read, the switch among its parameters with which it is recorded like a change.
    audited_when: str | None = None

    @property
    def body_type(self) -> str | None:
        """The media type of its body; None where it takes none."""
        return next(iter(self.definition.get("requestBody", {}).get("content", {})), None)

    def is_dry_run(self, arguments: Mapping[str, Any], body: Any) -> bool:
        """Tell whether a request only asks what would happen: by its query, or by its body as in `/api/v2`."""
        if self.dry_run_default is not None and isinstance(body, dict):
            return bool(body.get("dry_run", self.dry_run_default))
        return arguments.get("dry_run") is True

    def is_recorded(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether the audit has to know of a request: of a change, and of a read that the contract names."""
        return not self.read_only or (
            self.audited_when is not None and arguments.get(self.audited_when) is True
        )

    @property
    def module(self) -> str:
        """The handler's module: the tag in snake_case."""
        return snake_case(self.tag)


def snake_case(name: str) -> str:
    """Turn `DagRun` into `dag_run` and `DAG` into `dag`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def load(name: str = "openapi.yaml") -> Document:
    """Read a contract and everything that it refers to as one document, in which each `$ref` is local.

    What stands in `components/KIND.yaml` or `components/KIND/*.yaml` gets its place and its name in
    `components.KIND`; path items are put where they are referred to. Raises `ContractError`.
    """
    return _Bundler().bundle(name)


class _Bundler:
    """Follows references from file to file and collects the components that it meets."""

    def __init__(self) -> None:
        self._components: dict[str, dict[str, Any]] = {}
        self._sources: dict[tuple[str, str], str] = {}

    def bundle(self, name: str) -> Document:
        document = dict(_read(name))
        own = dict(document.pop("components", {}))
        bundled = {key: self._resolve(value, name) for key, value in document.items()}
        components = {kind: dict(entries) for kind, entries in own.items()}
        for kind, entries in self._components.items():
            components.setdefault(kind, {}).update(entries)
        bundled["components"] = {
            kind: dict(sorted(entries.items())) if kind != "securitySchemes" else entries
            for kind, entries in sorted(components.items())
        }
        return bundled

    def _resolve(self, node: Any, file: str) -> Any:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                return self._follow(node["$ref"], file)
            return {key: self._resolve_entry(key, value, file) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolve(value, file) for value in node]
        return node

    def _resolve_entry(self, key: str, value: Any, file: str) -> Any:
        if key == "discriminator" and isinstance(value.get("mapping"), dict):
            # Its values are references without a `$ref` (OpenAPI 3.0.3, discriminator object).
            mapping = {name: self._follow(place, file)["$ref"] for name, place in value["mapping"].items()}
            return {**value, "mapping": mapping}
        return self._resolve(value, file)

    def _follow(self, reference: str, file: str) -> Any:
        path, _, pointer = reference.partition("#/")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), path)) if path else file
        if not target.startswith("components/"):
            if not path:
                return {"$ref": reference}
            return self._resolve(_entry(target, pointer, file), target)
        kind = target.split("/")[1].removesuffix(".yaml")
        self._collect(kind, target, pointer, file)
        return {"$ref": f"#/components/{kind}/{pointer}"}

    def _collect(self, kind: str, target: str, name: str, file: str) -> None:
        known = self._sources.get((kind, name))
        if known == target:
            return
        if known is not None:
            raise ContractError(f"{kind} '{name}' is defined in both {known} and {target}")
        self._sources[kind, name] = target
        entries = self._components.setdefault(kind, {})
        entries[name] = {}  # a place for a schema that refers to itself
        entries[name] = self._resolve(_entry(target, name, file), target)


@cache
def _read(name: str) -> Document:
    try:
        text = files(PACKAGE).joinpath(name).read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 a SafeLoader
    except (OSError, yaml.YAMLError) as fault:
        raise ContractError(f"{name} cannot be read: {' '.join(str(fault).split())}") from fault
    if not isinstance(content, dict):
        raise ContractError(f"{name} is not a mapping")
    return content


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML as JSON would be read: a timestamp stays a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _entry(file: str, name: str, referrer: str) -> Any:
    try:
        return _read(file)[name]
    except KeyError:
        raise ContractError(f"{referrer} refers to '{name}', which {file} does not define") from None


def dereference(document: Document, node: Any) -> Any:
    """Return what a local reference stands for, and anything else as it is; raises `ContractError` for nothing."""
    while isinstance(node, dict) and "$ref" in node:
        reference = node["$ref"]
        node = document
        for part in reference.partition("#/")[2].split("/"):
            node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            raise ContractError(f"the reference '{reference}' leads nowhere")
    return node


def operations(document: Document) -> list[Operation]:
    """List the operations of a bundled contract; raises `ContractError` for one that is incomplete or repeated."""
    found = [
        _operation(document, path, method, item[method])
        for path, item in document.get("paths", {}).items()
        for method in METHODS
        if method in item
    ]
    seen: set[str] = set()
    for operation in found:
        if operation.operation_id in seen:
            raise ContractError(f"the operationId '{operation.operation_id}' is there twice")
        seen.add(operation.operation_id)
    return found


def _operation(document: Document, path: str, method: str, definition: Mapping[str, Any]) -> Operation:
    place = f"{method.upper()} {path}"
    try:
        operation_id, tag = definition["operationId"], definition["tags"][0]
        status, answer = _success(document, definition["responses"])
    except (KeyError, IndexError, StopIteration):
        raise ContractError(f"{place} needs an operationId, a tag and a 2xx response") from None
    access = definition.get("x-airflow-access")
    security = definition.get("security", document.get("security", []))
    return Operation(
        operation_id=operation_id,
        tag=tag,
        method=method.upper(),
        path=path,
        status=status,
        media_types=tuple(answer.get("content", {})),
        access=None if access is None else tuple(access),
        anonymous=not security or {} in security,
        read_only=definition.get("x-read-only", method in ("get", "head")),
        definition=definition,
        dry_run_default=_dry_run_default(document, definition),
        body_limit=definition.get("x-body-limit", "max_body_kib"),
        audited_when=definition.get("x-audited-when"),
    )


def _dry_run_default(document: Document, definition: Mapping[str, Any]) -> bool | None:
    media = definition.get("requestBody", {}).get("content", {}).get(JSON, {})
    schema = dereference(document, media.get("schema", {}))
    field = dereference(document, schema.get("properties", {}).get("dry_run", {}))
    return field.get("default", False) if field else None


def _success(document: Document, responses: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    status = next(status for status in responses if str(status).startswith("2"))
    return int(status), dereference(document, responses[status])


def parameters(document: Document, operation: Operation) -> Iterator[Mapping[str, Any]]:
    """Yield the parameters of an operation, those of its path item included, dereferenced."""
    item = document["paths"][operation.path]
    own = [dereference(document, entry) for entry in operation.definition.get("parameters", [])]
    names = {(entry["in"], entry["name"]) for entry in own}
    for entry in item.get("parameters", []):
        shared = dereference(document, entry)
        if (shared["in"], shared["name"]) not in names:
            yield shared
    yield from own

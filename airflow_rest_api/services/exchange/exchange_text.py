"""Exchange texts: the files that are exported, in JSON, YAML or as `.env`, as the Airflow CLI writes and reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from airflow.utils.file import COMMENT_PATTERN

from airflow_rest_api.services import errors
from airflow_rest_api.services.exchange.exchange_file import DESCRIPTION

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class NotInFormat(errors.Conflict):
    """A format has no way to say what is to be exported."""

    title = "The format cannot hold this"

    def __init__(self, form: str, names: list[str]) -> None:
        listed = ", ".join(f"'{name}'" for name in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        super().__init__(
            f"The format {form} cannot hold {listed}{more}: export as json, or choose others by a pattern.",
            names=names[:100],
        )


def as_json(entries: Mapping[str, Any], *, indent: int = 4, sort_keys: bool = True) -> str:
    """Write entries by name as JSON."""
    return json.dumps(entries, indent=indent, sort_keys=sort_keys)


def as_yaml(entries: Mapping[str, Any]) -> str:
    """Write entries by name as YAML, whose readers agree on what is a text."""
    return str(yaml.dump(dict(entries), Dumper=_DUMPER, default_flow_style=False))


def as_env(entries: Mapping[str, str | None], descriptions: Mapping[str, str | None]) -> str:
    """Write a line for each entry, and above it its description as a comment.

    There are no quotes and no escapes in such a file: the CLI reads a line as it is. Raises `NotInFormat` for names
    and values that it would read as something else; None is a value that cannot be written at all.
    """
    unfit = [name for name, value in entries.items() if not _fits(name, value)]
    if unfit:
        raise NotInFormat("env", unfit)
    return "".join(_lines(entries, descriptions))


def _lines(entries: Mapping[str, str | None], descriptions: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in entries.items():
        if description := descriptions.get(name):
            yield f"{DESCRIPTION}{json.dumps(description)}\n"
        yield f"{name}={value}\n"


def _fits(name: str, value: str | None) -> bool:
    line = f"{name}={value}"
    is_one_entry = bool(name and value) and "=" not in name and not COMMENT_PATTERN.match(line)
    return is_one_entry and line.splitlines() == [line]

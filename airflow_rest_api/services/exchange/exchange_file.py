"""Exchange files: the entries of a file that somebody imports, in JSON, YAML or as `.env`.

They mean what they mean to the Airflow CLI (`airflow/secrets/local_filesystem.py`). Its loaders are not called: they
read from a disk, where nobody's secrets belong, follow YAML wherever it leads, and quote the text in what they raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from airflow.utils.file import COMMENT_PATTERN

from airflow_rest_api.services.exchange import yaml_text
from airflow_rest_api.services.exchange.import_refusals import FileTooLarge, FileUnreadable
from airflow_rest_api.services.files.uploads import Upload

# Far more than any installation has, and little enough to be held in memory a few times, and stored within seconds.
MOST_BYTES = 4 * 1024 * 1024
MOST_ENTRIES = 20_000
_SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".env": "env"}
# A `.env` file has no place for a description, and its readers pass over comments: above an entry, this one is its.
DESCRIPTION = "# description: "


@dataclass(frozen=True)
class Entry:
    """What a file says under one name; ``description`` is that of a comment."""

    name: str
    value: Any
    description: str | None = None


def read(upload: Upload, form: str | None) -> list[Entry]:
    """Return the entries of a file in their order, written in ``form`` or as the suffix of its name says, else in JSON.

    Raises `FileTooLarge` and `FileUnreadable`.
    """
    suffix = "".join(upload.name.lower().rpartition(".")[1:])
    if upload.size > MOST_BYTES:
        raise FileTooLarge(f"{MOST_BYTES // 1024} KiB")
    entries = _READERS[form or _SUFFIXES.get(suffix, "json")](_text(upload.read()))
    if len(entries) > MOST_ENTRIES:
        raise FileTooLarge(f"{MOST_ENTRIES} entries")
    return entries


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileUnreadable("it is not written in UTF-8") from None
    if "\0" in text:
        raise FileUnreadable("it holds a NUL character")
    return text


def _json(text: str) -> list[Entry]:
    try:
        return _named(json.loads(text, object_pairs_hook=_without_repetition))
    except json.JSONDecodeError as fault:
        raise FileUnreadable("it is no JSON", fault.lineno) from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or thousands of levels.
        raise FileUnreadable("it is no JSON that can be read") from None


def _yaml(text: str) -> list[Entry]:
    return _named(yaml_text.load(text))


def _env(text: str) -> list[Entry]:
    """Read one entry from each line: the name up to the first equals sign, and after it the value as it is."""
    entries: dict[str, Entry] = {}
    description = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line:
            continue
        if COMMENT_PATTERN.match(line):
            description = _described(line)
            continue
        name, _, value = line.partition("=")
        if not name or not value:
            raise FileUnreadable("a line is no NAME=VALUE", number)
        if name in entries:
            raise FileUnreadable(f"the name '{name[:250]}' is there twice", number)
        entries[name] = Entry(name, value, description)
        description = None
    return list(entries.values())


def _described(comment: str) -> str | None:
    """Return the description that a comment holds, written as a JSON string; None of any other comment."""
    if not comment.startswith(DESCRIPTION):
        return None
    try:
        text = json.loads(comment.removeprefix(DESCRIPTION))
    except ValueError:
        return None
    return text if isinstance(text, str) else None


_READERS: Mapping[str, Callable[[str], list[Entry]]] = {"json": _json, "yaml": _yaml, "env": _env}


def _named(content: Any) -> list[Entry]:
    if not isinstance(content, dict):
        raise FileUnreadable("it has to be an object of names and what they stand for")
    return list(_entries(content))


def _entries(content: Mapping[Any, Any]) -> Iterator[Entry]:
    for name, value in content.items():
        if not isinstance(name, str):
            _refuse_name(name)
        yield Entry(name, value)


def _refuse_name(name: Any) -> NoReturn:
    raise FileUnreadable(f"a name is read as {type(name).__name__} and not as a text; put it in quotes")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        # `add` returns nothing, so the first name is found that was there before.
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise FileUnreadable(f"the name '{twice[:250]}' is there twice in one object")
    return found

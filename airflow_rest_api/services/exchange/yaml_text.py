"""YAML texts of callers: read with bounds, since a few lines of them can stand for gigabytes."""

from __future__ import annotations

import re
from typing import Any

import yaml

from airflow_rest_api.services.exchange.import_refusals import FileUnreadable

# Each level and each node costs time in the parser; an alias counts for all that it stands for.
MOST_DEPTH = 64
MOST_NODES = 400_000
# PyYAML reads numbers to the base of sixty, in a time that grows with the square of their length.
_MOST_DIGITS = 400
_NUMBER = re.compile(r"[-+0-9_:.a-fA-FxXoO]+")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_LOADER):  # type: ignore[misc, valid-type]
    """Makes plain data alone, in which a timestamp stays a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """Return what a text with one document says; raises `FileUnreadable`, also for a name that is there twice."""
    loader = None
    try:
        _measure(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated(node)
        return loader.construct_document(node)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        # What PyYAML says may quote the text.
        raise FileUnreadable("it is no YAML of plain data", mark.line + 1 if mark else None) from None
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise FileUnreadable("it is no YAML of plain data") from None
    finally:
        if loader is not None:
            loader.dispose()


def _measure(text: str) -> None:
    """Raise `FileUnreadable` for a text that means more than anybody writes, without making anything of it."""
    sizes: dict[str, int] = {}
    # Of each collection that is open: its anchor, and how many nodes were counted before it.
    opened: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise FileUnreadable("an alias stands for something around it, or for nothing")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            _measure_scalar(event)
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
            nodes += 1
            if event.anchor:
                sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MOST_NODES or len(opened) > MOST_DEPTH:
            raise FileUnreadable(f"it has more than {MOST_NODES} values, or is nested deeper than {MOST_DEPTH}")


def _measure_scalar(event: Any) -> None:
    may_be_number = event.style is None or event.tag is not None
    if may_be_number and len(event.value) > _MOST_DIGITS and _NUMBER.fullmatch(event.value):
        raise FileUnreadable(f"a number has more than {_MOST_DIGITS} digits", event.start_mark.line + 1)


def _refuse_repeated(node: Any) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise FileUnreadable(f"the name '{key.value[:250]}' is there twice", key.start_mark.line + 1)
            seen.add(key.value)

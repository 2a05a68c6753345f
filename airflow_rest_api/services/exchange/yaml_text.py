"""YAML texts of callers: read with bounds, since a few lines of them can stand for gigabytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from airflow_rest_api.services.exchange.import_refusals import FileUnreadable

# Each level and each node costs time in the parser; an alias counts for all that it stands for.
MOST_DEPTH = 64
MOST_NODES = 200_000
# PyYAML reads numbers to the base of sixty, in a time that grows with the square of their length.
_MOST_DIGITS = 400
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
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
    measure = _Measure()
    for event in yaml.parse(text, Loader=_LOADER):
        measure.take(event)


@dataclass
class _Measure:
    """How much the events of a parser stand for."""

    nodes: int = 0
    # How many nodes an anchor stands for.
    sizes: dict[str, int] = field(default_factory=dict)
    # Of each collection that is open: its anchor, and how many nodes were counted before it.
    opened: list[tuple[str | None, int]] = field(default_factory=list)

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.opened.pop()
            self._name(anchor, self.nodes - before)
        elif isinstance(event, yaml.NodeEvent):
            self._count(event)
            if self.nodes > MOST_NODES or len(self.opened) > MOST_DEPTH:
                raise FileUnreadable(
                    f"it has more than {MOST_NODES} values, or is nested deeper than {MOST_DEPTH}"
                )

    def _count(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.sizes:
                raise FileUnreadable("an alias stands for something around it, or for nothing")
            self.nodes += self.sizes[event.anchor]
            return
        if isinstance(event, yaml.ScalarEvent):
            _measure_scalar(event)
            self._name(event.anchor, 1)
        else:
            self.opened.append((event.anchor, self.nodes))
            self.sizes.pop(event.anchor, None)
        self.nodes += 1

    def _name(self, anchor: str | None, size: int) -> None:
        if anchor:
            self.sizes[anchor] = size


def _measure_scalar(event: Any) -> None:
    if len(event.value) > _MOST_DIGITS and ":" in event.value and _is_number(event):
        raise FileUnreadable(f"a number has more than {_MOST_DIGITS} digits", event.start_mark.line + 1)


def _is_number(event: Any) -> bool:
    """Return whether a scalar is read as a number: a plain one that looks like one, or one with such a tag."""
    if event.tag is not None:
        return event.tag in _NUMBERS
    # The style of a plain scalar is empty.
    resolvers = () if event.style else _Loader.yaml_implicit_resolvers.get(event.value[:1], ())
    return any(tag in _NUMBERS and pattern.match(event.value) for tag, pattern in resolvers)


def _refuse_repeated(node: Any) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise FileUnreadable(f"the name '{key.value[:250]}' is there twice", key.start_mark.line + 1)
            seen.add(key.value)

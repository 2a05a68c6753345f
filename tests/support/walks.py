"""Walks through a list that is read by cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Page = dict[str, Any]


def there_and_back(read: Callable[[str], Page]) -> tuple[list[Page], list[Page]]:
    """The pages to the end of a list, and those back to its start, both in the order of the list.

    ``read`` answers the page at a cursor. The way back begins before the last page, and so has one page less.
    """
    there = [read("")]
    while (cursor := there[-1]["next_cursor"]) is not None:
        there.append(read(cursor))
    back: list[Page] = []
    cursor = there[-1]["previous_cursor"]
    while cursor is not None:
        back.insert(0, read(cursor))
        cursor = back[0]["previous_cursor"]
    return there, back

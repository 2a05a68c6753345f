"""Pages that are read by cursor: from a place in a list onwards, forward or back, as Airflow's `/api/v2` reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.lists.ordering import Cursor, SortKey

Row = Sequence[Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class CursorPage:
    """The rows of a page, in the order of the list, and the cursors that lead on from it and back."""

    rows: Rows
    next_cursor: str | None
    previous_cursor: str | None

    def members(self, total: int) -> dict[str, Any]:
        """Return what an answer tells beside its entries; ``total`` was counted to `CURSOR_COUNT_LIMIT`."""
        return {
            "total_entries": total,
            "total_entries_limit": listing.CURSOR_COUNT_LIMIT,
            "next_cursor": self.next_cursor,
            "previous_cursor": self.previous_cursor,
        }


def read(
    cursor: str,
    keys: Sequence[SortKey],
    limit: int,
    *,
    find: Callable[[Cursor | None, int], Rows],
    values: Callable[[Row], Sequence[Any]],
) -> CursorPage:
    """Read the page that lies beyond the cursor, the first one for an empty cursor; raises `InvalidCursor`.

    ``find`` returns so many rows beyond a place, in the order of reading; ``values`` what a row is sorted by.
    """
    place = ordering.decode_cursor(cursor, keys) if cursor else None
    backward = place is not None and place.backward
    # One row more than the page holds tells whether there is another page in this direction.
    found = find(place, limit + 1)
    more, rows = len(found) > limit, found[:limit]
    if backward:
        rows = rows[::-1]
    has_next, has_previous = (True, more) if backward else (more, place is not None)
    return CursorPage(
        rows,
        ordering.encode_cursor(values(rows[-1])) if rows and has_next else None,
        ordering.encode_cursor(values(rows[0]), backward=True) if rows and has_previous else None,
    )

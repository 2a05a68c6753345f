"""Deployed paths: who may touch the files at a place of a bundle, among all replicas, and whose content is there.

A claim is a row in the database that runs out: of a process that died while it held one, the next who wants the
place brings the work to an end first. Nobody holds a transaction open while files are written.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.storage.tables import deployed_path as table

# A claim that is not renewed for `LEASE` is a dead process's; others wait that long for a living one.
LEASE = timedelta(seconds=15)
RENEW_SECONDS = 5.0
PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Place:
    """A file or folder of a bundle; ``path`` is relative to the bundle, and empty for the bundle itself."""

    bundle_name: str
    path: str

    @property
    def key(self) -> str:
        """The hash by which the place is found: both names together are too long for an index of MySQL."""
        return hashlib.sha256(f"{self.bundle_name}\0{self.path}".encode()).hexdigest()


class DeploymentInProgress(errors.Conflict):
    """Another deployment holds the place, or one around or below it."""

    title = "Another deployment is in progress"

    def __init__(self, place: Place) -> None:
        super().__init__(
            f"Another deployment to '{place.path}' of the bundle '{place.bundle_name}' is in progress;"
            " try again in a few seconds.",
            bundle_name=place.bundle_name,
            path=place.path,
        )
        self.retry_after = 2


class PlacesOverlap(errors.Conflict):
    """Another deployment owns a folder around the place, or something below it."""

    title = "The path overlaps with another deployment's"

    def __init__(self, place: Place, other: str) -> None:
        super().__init__(
            f"'{place.path}' overlaps with '{other}', which was deployed as a whole to the bundle"
            f" '{place.bundle_name}': deploy to '{other}', or take that deployment back first.",
            bundle_name=place.bundle_name,
            path=place.path,
            other_path=other,
        )


class ClaimLost(errors.Conflict):
    """The work took longer than its claim, and the place is another's by now."""

    title = "The claim on the path ran out"

    def __init__(self, place: Place) -> None:
        super().__init__(
            f"It took too long to write to '{place.path}' of the bundle '{place.bundle_name}'; nothing was"
            " changed.",
            bundle_name=place.bundle_name,
            path=place.path,
        )


@dataclass(frozen=True)
class Claim:
    """The right to touch the files at a place until it runs out."""

    place: Place
    holder: str

    def verify(self) -> None:
        """Raise `ClaimLost` unless the claim holds; to be called last before files change."""
        with reading() as session:
            if (
                session.scalar(select(table.c.place).where(*self._mine(), table.c.held_until > _now()))
                is None
            ):
                raise ClaimLost(self.place)

    def renew(self, session: Session) -> None:
        """Hold the place longer, if it is not another's yet."""
        alive = update(table).where(*self._mine(), table.c.held_until > _now())
        session.execute(alive.values(held_until=_now() + LEASE))

    def release(self, session: Session, **values: Any) -> None:
        """Give the place back in the caller's transaction, with what is true of it from now on.

        Raises `ClaimLost`, which undoes the transaction, when the place is another's.
        """
        mine = update(table).where(*self._mine())
        result: Any = session.execute(mine.values(holder=None, held_until=None, **values))
        if result.rowcount != 1:
            raise ClaimLost(self.place)

    def _mine(self) -> tuple[Any, ...]:
        return table.c.place == self.place.key, table.c.holder == self.holder


# Brings to an end what the holder of a claim that ran out left: the place, and the holder.
Recovery = Callable[[Place, str], None]


@contextmanager
def claimed(place: Place, holder: str, recover: Recovery) -> Iterator[Claim]:
    """Claim a place, waiting for others a while; what is not released inside is released at the end.

    Raises `DeploymentInProgress` and `PlacesOverlap`.
    """
    claim, ended = Claim(place, holder), threading.Event()
    _await(claim, recover)
    threading.Thread(target=_renew, args=(claim, ended), name="rest-api-claim", daemon=True).start()
    try:
        yield claim
    finally:
        ended.set()
        give_back(claim)


def _renew(claim: Claim, ended: threading.Event) -> None:
    """Keep a claim alive for as long as the work takes: a push to a slow server takes longer than a file."""
    while not ended.wait(RENEW_SECONDS):
        with suppress(errors.Refusal):
            write(claim.renew)


def give_back(claim: Claim) -> None:
    """Release a claim, if it is not released or another's yet."""

    def work(session: Session) -> None:
        with suppress(ClaimLost):
            claim.release(session)

    write(work)


def current(session: Session, place: Place) -> str | None:
    """Return the deployment whose content is at a place, None where nothing is deployed."""
    found: str | None = session.scalar(select(table.c.current).where(table.c.place == place.key))
    return found


def next_number(session: Session, place: Place) -> int:
    """Count a further deployment of a place, which the caller has claimed."""
    mine = table.c.place == place.key
    session.execute(update(table).where(mine).values(number=table.c.number + 1))
    return int(session.scalar(select(table.c.number).where(mine)) or 0)


def is_held(session: Session, place: Place) -> bool:
    """Tell whether somebody holds the place at present."""
    held = (table.c.place == place.key, table.c.holder.is_not(None), table.c.held_until > _now())
    return session.scalar(select(table.c.place).where(*held)) is not None


def _await(claim: Claim, recover: Recovery) -> None:
    for known in (Place(claim.place.bundle_name, ""), claim.place):
        _note(known)
    patience_ends = time.monotonic() + PATIENCE_SECONDS
    while (other := write(lambda session: _try(session, claim))) is not None:
        if other.held_until <= _now():
            recover(Place(other.bundle_name, other.path), other.holder)
        elif time.monotonic() > patience_ends:
            raise DeploymentInProgress(claim.place)
        else:
            time.sleep(_POLL_SECONDS)


def _note(place: Place) -> None:
    """Make the row of a place, if it is new."""
    with reading() as session:
        if session.scalar(select(table.c.place).where(table.c.place == place.key)) is not None:
            return
    values = {"place": place.key, "bundle_name": place.bundle_name, "path": place.path, "number": 0}
    with suppress(errors.AlreadyExists):
        write(lambda session: session.execute(insert(table).values(values)))


def _try(session: Session, claim: Claim) -> Any:
    """Claim a place; return the row of who holds it, or a place around or below it; raises `PlacesOverlap`."""
    place = claim.place
    # Places are different rows, and still may overlap: those of one bundle are claimed one after the other.
    bundle = Place(place.bundle_name, "").key
    session.execute(select(table.c.place).where(table.c.place == bundle).with_for_update())
    related = session.execute(select(table).where(*_related(place)).with_for_update()).all()
    for row in related:
        if row.holder is not None:
            return row
    for row in related:
        if row.current is not None and row.path != place.path:
            raise PlacesOverlap(place, row.path)
    mine = update(table).where(table.c.place == place.key)
    session.execute(mine.values(holder=claim.holder, held_until=_now() + LEASE))
    return None


def _related(place: Place) -> tuple[Any, ...]:
    around = [str(folder) for folder in PurePosixPath(place.path).parents if str(folder) != "."]
    below = table.c.path.startswith(f"{place.path}/", autoescape=True)
    overlapping = or_(table.c.path.in_([place.path, *around]), below)
    return table.c.bundle_name == place.bundle_name, overlapping


def _now() -> datetime:
    return datetime.now(timezone.utc)

"""Revocations: access tokens and families of refresh tokens that were ended before their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from airflow_rest_api.storage.tables import revocation as table


def token(token_id: str) -> str:
    """Return the subject that an access token is."""
    return f"token:{token_id}"


def family(family_id: str) -> str:
    """Return the subject that a family of refresh tokens is, with the access tokens that came of it."""
    return f"family:{family_id}"


def revoke(session: Session, subject: str, until: datetime) -> None:
    """End a subject of which nothing lives longer than ``until``; ending it again changes nothing.

    Raises an IntegrityError when another transaction ends it at the same time.
    """
    session.execute(delete(table).where(table.c.expires_at < datetime.now(timezone.utc)))
    if not is_revoked(session, [subject]):
        session.execute(insert(table).values(subject=subject, expires_at=until))


def is_revoked(session: Session, subjects: Sequence[str]) -> bool:
    """Tell whether one of these subjects was ended."""
    return session.scalar(select(table.c.subject).where(table.c.subject.in_(subjects)).limit(1)) is not None

"""Refusals: every reason for which a service says no, as one closed tree.

::

    Refusal
    ├── Malformed            the request cannot mean anything (an unknown sort attribute, a broken cursor)
    ├── Unauthenticated      nobody we know is calling
    ├── Denied               the caller may not do this, or a switch is off
    ├── NotFound             an object that the request names does not exist
    ├── NotAcceptable        none of the media types asked for can be made
    ├── Conflict             the object's present state forbids it
    ├── PreconditionFailed   the object is not in the state that the caller expected
    ├── Unprocessable        well-formed, understood, and impossible
    ├── TooManyRequests      later, please
    ├── Unavailable          the database or another part of Airflow does not answer
    └── InsufficientStorage  the disk is full, or what may be stored on it

A refusal knows its code, its title and its sentence; what HTTP makes of it is `web/problems.py`'s alone.
The second level is closed; a service adds leaves below it, next to the noun that they speak of.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class Refusal(Exception):
    """A service's reasoned no.

    ``detail`` is a sentence for a person, with names in quotes and, where there is one, the way out;
    ``members`` are further facts for a program.
    """

    title: ClassVar[str] = "The request was refused"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members

    @property
    def code(self) -> str:
        """The kind of refusal in kebab-case, stable across releases: `dag-run-not-found`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(self).__name__).lower()


class Malformed(Refusal):
    """The request cannot mean anything."""

    title = "The request is malformed"


class Unauthenticated(Refusal):
    """No valid credential was presented."""

    title = "Authentication is required"


class Denied(Refusal):
    """The caller may not do this."""

    title = "Access is denied"


class NotFound(Refusal):
    """An object that the request names does not exist."""

    title = "Not found"


class NotAcceptable(Refusal):
    """None of the media types that the caller accepts can be produced."""

    title = "Not acceptable"


class Conflict(Refusal):
    """The present state of the object forbids the operation."""

    title = "Conflict with the present state"


class PreconditionFailed(Refusal):
    """The object is not in the state that the caller expected."""

    title = "The precondition failed"


class Unprocessable(Refusal):
    """The request is well-formed and understood, and cannot be carried out."""

    title = "The request cannot be processed"


class TooManyRequests(Refusal):
    """The caller has to wait; ``retry_after`` tells how many seconds."""

    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = retry_after


class Unavailable(Refusal):
    """Something that the service stands on does not answer; ``retry_after`` tells how many seconds to wait."""

    title = "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = retry_after


class InsufficientStorage(Refusal):
    """There is no room for what should be stored; nothing was changed."""

    title = "Insufficient storage"


class DagNotFound(NotFound):
    """No such DAG is known to Airflow."""

    title = "DAG not found"

    def __init__(self, dag_id: str) -> None:
        super().__init__(f"The DAG '{dag_id}' was not found.", dag_id=dag_id)


class DagRunNotFound(NotFound):
    """The DAG has no such run."""

    title = "DAG run not found"

    def __init__(self, dag_id: str, dag_run_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has no run '{dag_run_id}'.", dag_id=dag_id, dag_run_id=dag_run_id
        )


class TaskNotFound(NotFound):
    """The DAG has no such task, or none of ``others`` that were named with it."""

    title = "Task not found"

    def __init__(self, dag_id: str, task_id: str, *others: str) -> None:
        names = ", ".join(f"'{name}'" for name in (task_id, *others))
        further = {"task_ids": [task_id, *others]} if others else {}
        super().__init__(
            f"The DAG '{dag_id}' has no task {names}.", dag_id=dag_id, task_id=task_id, **further
        )


class TaskInstanceNotFound(NotFound):
    """The run has no such task instance."""

    title = "Task instance not found"

    def __init__(self, dag_id: str, dag_run_id: str, task_id: str, map_index: int = -1) -> None:
        index = "" if map_index == -1 else f" with map index {map_index}"
        super().__init__(
            f"The run '{dag_run_id}' of the DAG '{dag_id}' has no instance of the task '{task_id}'{index}.",
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            task_id=task_id,
            map_index=map_index,
        )


class AlreadyExists(Conflict):
    """An object with this identity exists."""

    title = "Already exists"


class ValueRejected(Unprocessable):
    """The database cannot hold a value of the request (too long, out of range)."""

    title = "A value was rejected by the database"


class StoredValueUnreadable(Conflict):
    """A JSON document of the database is larger than Python decodes."""

    title = "A stored value cannot be read"

    def __init__(self) -> None:
        super().__init__(
            "A JSON value that Airflow's database holds for this object cannot be read: it is nested too deeply, or"
            " one of its numbers has more than 4,300 digits. Lists show it."
        )


class DatabaseUnavailable(Unavailable):
    """Airflow's metadata database does not answer, is locked, or has no free connection."""

    title = "The metadata database is unavailable"

    def __init__(self) -> None:
        super().__init__(
            "Airflow's metadata database does not answer at present; try again shortly.", retry_after=2
        )

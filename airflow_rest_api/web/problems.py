"""Problems: every error as RFC 9457 `application/problem+json`, and the one place where a refusal gets its status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from connexion.exceptions import ProblemException
from starlette.exceptions import HTTPException

from airflow_rest_api.legacy.failures import OldFailure
from airflow_rest_api.services import database, errors, json_encoding

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:airflow-rest-api:problem:"
CHALLENGE = 'Bearer realm="airflow"'

# The second level of the tree of refusals; a leaf has the status of its branch.
_STATUS: tuple[tuple[type[errors.Refusal], int], ...] = (
    (errors.Malformed, 400),
    (errors.Unauthenticated, 401),
    (errors.Denied, 403),
    (errors.NotFound, 404),
    (errors.NotAcceptable, 406),
    (errors.Conflict, 409),
    (errors.PreconditionFailed, 412),
    (errors.Unprocessable, 422),
    (errors.TooManyRequests, 429),
    (errors.Unavailable, 503),
    (errors.InsufficientStorage, 507),
)


@dataclass(frozen=True)
class Problem:
    """An error answer before it knows which request it belongs to."""

    status: int
    code: str
    title: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, *, instance: str, request_id: str) -> bytes:
        """Return the document for the request at the path ``instance``."""
        document = {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.members,
        }
        return json_encoding.encode(document, default=str)


class Refused(Exception):
    """A refusal of the web frame itself, which speaks of HTTP alone and so is none of a service."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def of(fault: BaseException, *, request_id: str) -> Problem:
    """Make a problem of whatever was raised; what is no refusal and no HTTP error is logged and says nothing."""
    problem = _known(fault)
    if problem is not None:
        return problem
    log.error("The request %s failed", request_id, exc_info=fault)
    return of_status(500, "The service failed; its log knows more under the request id.")


def status_of(fault: BaseException) -> int:
    """Return the status that `of` gives a fault."""
    problem = _known(fault)
    return 500 if problem is None else problem.status


def _known(fault: BaseException) -> Problem | None:
    if isinstance(fault, errors.Refusal):
        return _of_refusal(fault)
    if isinstance(fault, Refused):
        return of_status(fault.status, fault.detail)
    if isinstance(fault, ProblemException):
        return _of_connexion(fault)
    if isinstance(fault, HTTPException):
        return of_status(fault.status_code, headers=fault.headers)
    if database.is_unavailable(fault):
        # Airflow and its auth manager have sessions of their own.
        return _of_refusal(errors.DatabaseUnavailable())
    return None


def _of_connexion(fault: ProblemException) -> Problem:
    """Connexion raises one for a missing credential and for a media type that an operation does not take."""
    if fault.status == 401:
        return _of_refusal(errors.Unauthenticated("No credential was presented."))
    return of_status(fault.status)


def of_status(status: int, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> Problem:
    """Make a problem that has no other name than its HTTP status."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase.capitalize()
    code = title.lower().replace(" ", "-").replace("'", "")
    sentence = detail or _SENTENCES.get(status, f"{title}.")
    return Problem(status, code, title, sentence, headers=headers or {})


# Where Python's phrases changed from release to release: `type` is made of the title, and has to stay.
_TITLES = {413: "Content too large", 414: "Address too long", 500: "Internal error"}
_SENTENCES = {
    404: "Nothing is served at this address.",
    405: "The address does not serve this method; `Allow` names those that it serves.",
    415: "The Content-Type names a media type that the operation does not take.",
}


def _of_refusal(refusal: errors.Refusal) -> Problem:
    headers = _headers(refusal)
    members = {name: value for name, value in refusal.members.items() if name != "presented"}
    status = (
        refusal.status
        if isinstance(refusal, OldFailure)
        else next(status for branch, status in _STATUS if isinstance(refusal, branch))
    )
    return Problem(status, refusal.code, refusal.title, refusal.detail, members, headers)


def _headers(refusal: errors.Refusal) -> dict[str, str]:
    retry_after = getattr(refusal, "retry_after", None)
    if retry_after is not None:
        return {"Retry-After": str(retry_after)}
    if isinstance(refusal, errors.Unauthenticated):
        presented = refusal.members.get("presented", False)
        return {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE}
    return {}

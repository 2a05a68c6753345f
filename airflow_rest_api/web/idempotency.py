"""Idempotency: the header `Idempotency-Key`, with which a client may repeat a call and change nothing twice.

Between the gate's permission and the handler: a repetition is answered as the first call was, whatever became of
its answer. What a refusal says is kept as well, except where a repetition may fare better (401, 403, 429, 503).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import flask
import orjson

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.services.retries import Claim, Kept
from airflow_rest_api.web import problems
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.exchange import Exchange

log = logging.getLogger(__name__)

ARGUMENT = "idempotency_key"
REPLAYED = "Idempotency-Replayed"
Hash = Callable[[str], str]
_NOT_KEPT = frozenset({401, 403, 429})


class Idempotency:
    """Claims calls, and gives their first answers to whoever repeats them."""

    def __init__(self, keyed_hash: Hash, redactor: Redactor) -> None:
        """Take the hash under which keys are stored, which are the clients' secrets."""
        self._hash = keyed_hash
        self._redactor = redactor

    def claim(self, operation: Operation, exchange: Exchange, key: str) -> Claim | Kept:
        """Claim the call, or return its first answer; raises `KeyReused` and `StillRunning`."""
        caller = exchange.caller.id if exchange.caller else ""
        scope = self._hash("\0".join((caller, operation.operation_id, key)))
        # Keyed as well: whoever reads the table could guess what a body held, and see that it was right.
        fingerprint = self._hash(_fingerprint(exchange))
        return retries.claim(scope, fingerprint, status=operation.status)

    def carry_out(
        self, claimed: Claim, exchange: Exchange, work: Callable[[], flask.Response]
    ) -> flask.Response:
        """Do the work of a claimed call, and keep its answer."""
        try:
            with retries.carrying_out(claimed):
                answer = work()
        except Exception as fault:
            self._after(claimed, fault, exchange)
            raise
        if not claimed.is_done:
            _keep(claimed, Kept(answer.status_code, answer.get_data(), _kept_headers(answer)))
        return answer

    def replay(self, kept: Kept) -> flask.Response:
        """Return the first answer once more, as free of secrets as it went out."""
        body = self._redactor.json(kept.body)
        response = flask.Response(body, kept.status, content_type="application/json")
        for name, value in (kept.headers or {}).items():
            response.headers[name] = value
        response.headers[REPLAYED] = "true"
        return response

    def _after(self, claimed: Claim, fault: Exception, exchange: Exchange) -> None:
        """Keep a refusal that a repetition would meet again; let everything else be tried anew.

        What cannot be written now is a claim that runs out.
        """
        status = problems.status_of(fault)
        with suppress(errors.Unavailable):
            if status in _NOT_KEPT or status >= 500 or isinstance(fault, retries.StillRunning):
                retries.give_up(claimed)
                return
            problem = problems.of(fault, request_id=exchange.request_id)
            body = problem.body(instance=exchange.instance, request_id=exchange.request_id)
            headers = {"Content-Type": problems.MEDIA_TYPE, **problem.headers}
            retries.keep(claimed, Kept(status, body, headers))


def _keep(claimed: Claim, answer: Kept) -> None:
    """Store the response of a call that succeeded; the call stays successful if that fails.

    A repetition takes the claim over, and finds the effect by its planned id.
    """
    try:
        retries.keep(claimed, answer)
    except errors.Unavailable:
        log.exception("The response of a call with an Idempotency-Key could not be stored")


def _kept_headers(answer: flask.Response) -> Mapping[str, str]:
    return {name: value for name, value in answer.headers.items() if name in ("Content-Type", "Location")}


def _fingerprint(exchange: Exchange) -> str:
    """Return a hash of what is asked for: path, query and body as they were read, whatever their spelling."""
    asked: dict[str, Any] = {
        "arguments": {name: value for name, value in exchange.arguments.items() if name != ARGUMENT},
        "body": exchange.body,
    }
    raw = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS, default=_told)
    return hashlib.sha256(raw).hexdigest()


def _told(value: Any) -> Any:
    if isinstance(value, Upload):
        return [value.name, value.size, value.sha256]
    return str(value)

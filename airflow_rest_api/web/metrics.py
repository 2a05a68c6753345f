"""Metrics: what this process served, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Timing:
    """One request being timed."""

    def __init__(self) -> None:
        self.operation_id: str | None = None
        self.status = 0

    def done(self, operation_id: str | None, status: int) -> None:
        """Say what the request turned out to be."""
        self.operation_id, self.status = operation_id, status


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "airflow_rest_api_requests",
            "Requests answered, by operation and status.",
            ("operation", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "airflow_rest_api_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ("operation",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.audit_failures = Counter(
            "airflow_rest_api_audit_outcomes_lost",
            "Outcome rows that could not be written to the event log.",
            registry=self._registry,
        )
        self._invalid_responses = Counter(
            "airflow_rest_api_invalid_responses",
            "Responses that break the contract, by operation. They were sent nevertheless.",
            ("operation",),
            registry=self._registry,
        )
        self.background_failures = Counter(
            "airflow_rest_api_background_failures",
            "Faults of this service in background work.",
            registry=self._registry,
        )

        self._legacy_calls = Counter(
            "airflow_rest_api_legacy_calls",
            "Calls of the old plugins, by name and dialect.",
            ("api", "dialect"),
            registry=self._registry,
        )

        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    @contextmanager
    def timed(self) -> Iterator[_Timing]:
        """Time a request and count it under what ``done`` said of it."""
        timing, begin = _Timing(), perf_counter()
        try:
            yield timing
        finally:
            count, seconds = self._of(timing.operation_id or "none", timing.status)
            count.inc()
            seconds.observe(perf_counter() - begin)

    def _of(self, operation: str, status: int) -> tuple[Counter, Histogram]:
        known = self._known.get((operation, status))
        if known is None:
            known = self._requests.labels(operation, str(status)), self._seconds.labels(operation)
            self._known[operation, status] = known
        return known

    def count_legacy_call(self, api: str, dialect: str) -> None:
        """Count a call of an old plugin by its name and dialect."""
        self._legacy_calls.labels(api, dialect).inc()

    def count_invalid_response(self, operation: str) -> None:
        """Count a response that breaks the contract."""
        self._invalid_responses.labels(operation).inc()

    def text(self) -> str:
        """Return all metrics in the text format."""
        return generate_latest(self._registry).decode()

"""Take moments, ids and secrets out of a text: what must differ between two runs of the same requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

# Dates of the scenario are fixed and stay; those around the present are moments of the run, or of its preparation.
# An operation expires after a week.
NEAR = timedelta(days=10)
# Digests and validators of content that holds moments; a change of the content itself shows in the body.
DIGESTS = {"etag", "x-request-id", "content-length", "date"}
# Fields of a JSON body or an audit row that measure this run.
MEASURED = {
    *("milliseconds", "seconds", "parse_seconds", "duration", "call_time", "response_time"),
    *("memory_bytes", "cpu_percent", "pid"),
}

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_ENCODED_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d(?:\.\d+)?(?:Z|%2B\d\d%3A\d\d)?")
_HTTP_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_TOKEN = re.compile(r"\bey[\w-]{10,}\.[\w-]+\.[\w-]+")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_HEX = re.compile(r"\b[0-9a-f]{16,}\b")
_OPAQUE = re.compile(r"\b[\w-]{43,}\b")


class Normalizer:
    """Replace what differs between runs by the name of its kind, such as `{uuid}`."""

    def __init__(self, replaced: Mapping[str, str]) -> None:
        """Replace the keys of ``replaced``, such as the path of the home, by their values."""
        self._replaced = dict(replaced)
        self._now = datetime.now(timezone.utc)

    def now(self) -> datetime:
        """Return the moment around which dates are replaced."""
        return self._now

    def text(self, text: str) -> str:
        for found, name in self._replaced.items():
            text = text.replace(found, name)
        text = _TOKEN.sub("{token}", text)
        text = _UUID.sub("{uuid}", text)
        text = _HTTP_DATE.sub("{date}", text)
        text = _DATE.sub(self._date, text)
        text = _ENCODED_DATE.sub(self._date, text)
        return _OPAQUE.sub("{opaque}", _HEX.sub("{hex}", text))

    def headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        named = [(name.lower(), value) for name, value in headers]
        return sorted((name, "{digest}" if name in DIGESTS else self.text(value)) for name, value in named)

    def body(self, media_type: str, content: bytes) -> str:
        text = content.decode("utf-8", "backslashreplace")
        if "json" not in media_type or not text:
            return self.text(text)
        try:
            return self.text(json.dumps(_unmeasured(json.loads(text)), sort_keys=True, ensure_ascii=False))
        except ValueError:
            return self.text(text)  # lines of JSON

    def _date(self, match: re.Match[str]) -> str:
        text = match.group().replace("%3A", ":").replace("%2B", "+").replace("Z", "+00:00")
        try:
            moment = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text))
        except ValueError:
            return match.group()
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return "{now}" if abs(moment - self._now) < NEAR else match.group()


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "{measured}" if name in MEASURED else _unmeasured(entry) for name, entry in value.items()
        }
    if isinstance(value, list):
        return [_unmeasured(entry) for entry in value]
    return value

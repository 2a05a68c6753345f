"""Trial output: what a task has written, without the secrets that it came to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from airflow_rest_api.services.task_instances.redactor import LEAST_LENGTH, Redactor

# What Airflow masks in logs is as short as that.
_LEAST = 5


class Masks:
    """Takes the secrets of one trial out of texts; new ones may be added at any time."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._redactor = Redactor()

    def learn(self, secrets: Iterable[str]) -> None:
        """Add secrets; of those with several lines each line is one, because lines are written one by one."""
        known = frozenset(part for secret in secrets for part in _parts(secret))
        if not known <= self._secrets:
            self._secrets |= known
            self._redactor = Redactor(self._secrets, _LEAST)

    def of_tail(self, text: str, *, is_whole: bool, is_last: bool) -> str:
        """Return the end of a growing text without secrets, nor halves of them at the ends at which there is more."""
        # A character that PostgreSQL cannot store.
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if not is_whole:
            text = text[self._half(lambda secret, length: text.startswith(secret[-length:])) :]
        if not is_last:
            text = text[: len(text) - self._half(lambda secret, length: text.endswith(secret[:length]))]
        return self._redactor.text(text)

    def of_text(self, text: str) -> str:
        """Return a text without secrets."""
        return self.of_tail(text, is_whole=True, is_last=True)

    def _half(self, fits: Callable[[str, int], bool]) -> int:
        """Return the length of the longest part of a secret that fits."""
        lengths = (
            next((length for length in range(len(secret) - 1, 0, -1) if fits(secret, length)), 0)
            for secret in self._secrets
        )
        return max(lengths, default=0)


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield from (line for line in secret.splitlines() if len(line) >= LEAST_LENGTH)

"""Differences: what changed between two contents, as a unified diff that is short enough to be read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from airflow_rest_api.services.deployments.content import Content

MOST_CHARACTERS = 64 * 1024
# Comparing takes longer than in proportion; of files with more lines nobody reads the difference.
MOST_LINES = 5000
CUT = "[the rest is left out]\n"


def unified(before: Content | None, after: Content | None, path: str) -> str:
    """Return the unified diff of all text files, at most `MOST_CHARACTERS` long; empty where nothing changed."""
    text = ""
    for part in _parts(before, after, path):
        text += part
        if len(text) > MOST_CHARACTERS:
            return text[: MOST_CHARACTERS - len(CUT)] + CUT
    return text


def _parts(before: Content | None, after: Content | None, path: str) -> Iterator[str]:
    old, new = before.sources(path) if before else {}, after.sources(path) if after else {}
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield from _of_file(old.get(name), new.get(name), name)


def _of_file(old: bytes | None, new: bytes | None, path: str) -> Iterator[str]:
    names = ("/dev/null" if old is None else f"a/{path}", "/dev/null" if new is None else f"b/{path}")
    lines = [_lines(old), _lines(new)]
    if None in lines:
        yield f"--- {names[0]}\n+++ {names[1]}\n[not text, or too long to be compared]\n"
        return
    one, other = (part or [] for part in lines)
    for line in difflib.unified_diff(one, other, *names):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(data: bytes | None) -> list[str] | None:
    """Return the lines of a text, None for what is no text or too long."""
    try:
        lines = (data or b"").decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= MOST_LINES else None

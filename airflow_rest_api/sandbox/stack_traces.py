"""Stack traces: the exception that a printed stack trace ends with, without the frames.

Airflow keeps import errors as text alone, so text is all that is left of an exception.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Iterator

# As long as a message may become; the rest is counted and left out.
MOST_CHARACTERS = 4000

_HEADER = re.compile(r"^(?:Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)
_CHAINS = {
    "The above exception was the direct cause of the following exception:": "Caused by",
    "During handling of the above exception, another exception occurred:": "While handling",
}
_CHAIN = re.compile(rf"^({'|'.join(map(re.escape, _CHAINS))})$", re.MULTILINE)
# The margin of an exception group, and the rules between its members: `+---------------- 1 ----------------`.
_MARGIN = re.compile(r"^ *(?:\| ?|\+ (?=Exception Group Traceback))", re.MULTILINE)
_RULE = re.compile(r"^ *(?:\+-)?\+-{4,}(?: (?:\d+|\.\.\.) -{4,})?$", re.MULTILINE)
# Where Python's packages are; the path of one is shown from there on.
_PACKAGES = re.compile(r"(?<![\w.~-])/[^\s\"'():<>\[\]]*/(?:site-packages|dist-packages)/")
# What may stand in front of a path in a message; after other characters it is the end of a longer path.
_BEGINS = r"(?<![\w./~-])"


def message(trace: str) -> str:
    """Return the type and the whole message of the exception, bounded by `MOST_CHARACTERS`.

    The members of an exception group and the exceptions before it in a chain follow, each on a line of its own.
    """
    return bounded("\n".join(_exceptions(trace.strip("\n"))))


def bounded(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text of at most so many characters, which says how much it lacks."""
    if len(text) <= most:
        return text
    kept = most - 50
    return f"{text[:kept]}… ({len(text) - kept:,} more characters)"


def one_line(text: str, most: int) -> str:
    """Return a message of several lines in one line of at most so many characters."""
    return bounded("; ".join(line.strip() for line in text.splitlines() if line.strip()), most)


def with_hint(text: str, hint: str | None) -> str:
    """Return a message, shortened if necessary, and a hint on a line of its own."""
    if hint is None:
        return text
    kept = bounded(text, MOST_CHARACTERS - len(hint) - 1)
    return f"{kept}\n{hint}"


def readable(text: str, folders: Iterable[str]) -> str:
    """Return a text in which the paths below these folders, and of Python's packages and library, are relative."""
    return relative(_PACKAGES.sub("", text), [*folders, sysconfig.get_path("stdlib")])


def relative(text: str, folders: Iterable[str]) -> str:
    """Return a text in which the paths below these folders are relative to them.

    A path counts from its first character on: of `/opt/dags/a.json` the folder `/dags` is a part, and not the folder.
    """
    for folder in sorted(folders, key=len, reverse=True):
        text = re.sub(rf"{_BEGINS}{re.escape(folder.rstrip('/'))}/", "", text)
    return text


def _exceptions(trace: str) -> Iterator[str]:
    """Yield the last exception of a chain, and then those before it, the newest first."""
    *earlier, last = _CHAIN.split(trace)
    yield from _members(last)
    for text, link in reversed(list(zip(earlier[::2], earlier[1::2], strict=True))):
        first, *further = _members(text)
        yield f"{_CHAINS[link]}: {first}"
        yield from further


def _members(section: str) -> list[str]:
    """Return the exception of a section and, of an exception group, all that are in it."""
    if "Exception Group Traceback (most recent call last):" not in section:
        return [_without_frames(section)]
    parts = _RULE.split(section)
    texts = (_without_frames(_unframed(part)) for part in parts)
    first, *others = [text for text in texts if text]
    return [first, *(f"- {text}" for text in others)]


def _unframed(part: str) -> str:
    """Return a part of an exception group without the margins, which are as deep as groups are nested."""
    while (inner := _MARGIN.sub("", part)) != part:
        part = inner
    return part.strip("\n")


def _without_frames(section: str) -> str:
    """Return what follows the frames, whose lines are indented; all of a text that has none."""
    header = _HEADER.search(section)
    lines = section[header.end() if header else 0 :].strip("\n").splitlines()
    if header or section.lstrip("\n").startswith('  File "'):
        while lines and lines[0].startswith(" "):
            del lines[0]
    return "\n".join(lines).strip()

"""Refusals of imports: why a file, or an entry of it, is not taken. None of them quotes what may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_rest_api.services import errors, masks

# As many names are told as anybody reads.
MOST_NAMES = 100


class Wrong(Exception):
    """An entry of a file is not what it has to be; the message is a sentence about it."""


class FileUnreadable(errors.Malformed):
    """The file is not written as its format wants it."""

    title = "The file cannot be read"

    def __init__(self, why: str, line: int | None = None) -> None:
        place = "" if line is None else f" (line {line})"
        super().__init__(f"The file cannot be read{place}: {why}. Nothing was imported.")


class FileTooLarge(errors.Unprocessable):
    """The file is larger than an import can be."""

    title = "The file is too large"

    def __init__(self, most: str) -> None:
        super().__init__(f"The file has more than the {most} that are imported at once; split it.")


class ImportRejected(errors.Malformed):
    """Entries of the file are wrong, so that none of it was imported."""

    title = "The file has wrong entries"

    def __init__(self, word: str, faults: Sequence[tuple[str, str]]) -> None:
        told = [{"pointer": pointer(name), "detail": sentence} for name, sentence in faults[:MOST_NAMES]]
        count = f"{len(faults)} {word}s are" if len(faults) > 1 else f"1 {word} is"
        super().__init__(f"Nothing was imported: {count} wrong, see `errors`.", errors=told)


@dataclass
class Faults:
    """The wrong entries of a file, collected until all were looked at."""

    word: str
    found: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Note why the entry ``name`` is wrong, if it turns out to be inside."""
        try:
            yield
        except (Wrong, masks.MaskedValue) as fault:
            self.found.append((name, str(fault)))

    def refuse(self) -> None:
        """Raise `ImportRejected` if there are any."""
        if self.found:
            raise ImportRejected(self.word, self.found)


class AlreadyThere(errors.AlreadyExists):
    """Some of what is to be imported exists, and the caller wants none of that touched."""

    title = "Some exist already"

    def __init__(self, word: str, names: Sequence[str]) -> None:
        listed = ", ".join(f"'{name}'" for name in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        super().__init__(
            f"Nothing was imported: the {word}s {listed}{more} exist already; `on_conflict` says what becomes of them.",
            names=list(names[:MOST_NAMES]),
        )


class ImportDenied(errors.Denied):
    """The caller may not do to each object what the import would do."""

    def __init__(self, word: str, name: str, method: str) -> None:
        act = "create" if method == "POST" else "overwrite"
        super().__init__(f"Nothing was imported: the caller may not {act} the {word} '{name}'.")


def pointer(name: str) -> str:
    """Return the JSON pointer (RFC 6901) to an entry of a file."""
    return "/" + name.replace("~", "~0").replace("/", "~1")

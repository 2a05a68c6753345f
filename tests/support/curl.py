"""Command lines of curl as they stand in manuals, read without a shell (which would cut them at `&`), and sent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from urllib.parse import parse_qsl, urlsplit

import httpx

OPTIONS = {"-X": "method", "-H": "header", "--header": "header", "-d": "data", "-F": "field"}


@dataclass(frozen=True)
class Curl:
    """What one command line sends."""

    method: str
    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    data: str | None = None
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """The path of the address, as it is encoded."""
        return urlsplit(self.address).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """The arguments of the address."""
        return parse_qsl(urlsplit(self.address).query, keep_blank_values=True)

    @property
    def texts(self) -> dict[str, str]:
        """The fields of the form but for files."""
        return {name: value for name, value in self.fields if not value.startswith("@")}

    def files(self, contents: Mapping[str, bytes]) -> list[tuple[str, tuple[str | None, bytes]]]:
        """The form as httpx takes it, with the contents of its files by name."""
        return [
            (name, (value[1:], contents[value[1:]]) if value.startswith("@") else (None, value.encode()))
            for name, value in self.fields
        ]

    def send(
        self, http: httpx.Client, headers: Mapping[str, str], contents: Mapping[str, bytes] | None = None
    ) -> httpx.Response:
        """Send it to whatever host the client speaks to; `headers` win over its own."""
        parts = urlsplit(self.address)
        address = f"{parts.path}?{parts.query}" if parts.query else parts.path
        sent = {name.lower(): value for name, value in self.headers.items()}
        if self.fields:
            # Curl adds a boundary to the media type of a form that it is told.
            sent.pop("content-type", None)
            form = self.files(contents or {})
            return http.request(self.method, address, headers={**sent, **headers}, files=form)
        content = None if self.data is None else self.data.encode()
        return http.request(self.method, address, headers={**sent, **headers}, content=content)


def read(line: str, variables: Mapping[str, str] | None = None) -> Curl:
    """Read a command line in which `$NAME` stands for variables; raises ValueError for what is no such line."""
    program, *words = shlex.split(Template(line).safe_substitute(variables or {}))
    if program != "curl":
        raise ValueError(f"'{program}' is not curl")
    given: dict[str, list[str]] = {}
    for kind, value in _options(words):
        given.setdefault(kind, []).append(value)
    if len(given.get("address", [])) != 1:
        raise ValueError(f"'{line}' does not name one address")
    (address,) = given["address"]
    sends = "data" in given or "field" in given
    return Curl(
        method=given.get("method", ["POST" if sends else "GET"])[-1],
        address=address,
        headers=dict(_pair(line, ": ") for line in given.get("header", [])),
        data=given["data"][-1] if "data" in given else None,
        fields=tuple(_pair(entry, "=") for entry in given.get("field", [])),
    )


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    left = iter(words)
    for word in left:
        short = word[:2]
        if word in OPTIONS:
            yield OPTIONS[word], next(left)
        elif not word.startswith("-"):
            yield "address", word
        elif short in OPTIONS and not word.startswith("--"):
            yield OPTIONS[short], word[2:]
        else:
            raise ValueError(f"'{word}' is an option that this reader does not know")


def _pair(text: str, mark: str) -> tuple[str, str]:
    name, found, value = text.partition(mark)
    if not found:
        raise ValueError(f"'{text}' has no '{mark}'")
    return name, value

"""Hostile names: whatever a file is called, nothing outside the upload root is written, changed or read."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import httpx

from tests.support import clients

STOLEN = b"written by somebody who was not let in"
SECRET = b"read by somebody who was not let in"
# What stands for the way up, and for what is between two names, to one system or another.
UP = (
    *("..", "../..", "../../..", "...", "....//..", ".../...", "%2e%2e", "%252e%252e", "..%00", "..\0"),
    *(
        "\u2024\u2024",
        "\uff0e\uff0e",
        "..;",
        "..\u200b",
        "\u202e..",
        ".. ",
        " ..",
        "..\n",
        "~",
        "~root",
        "$HOME",
    ),
    *("link", "link/..", "linked", "./..", "a/../..", "CON", "\ud800"),
)
PLAIN = ("../secret", "../stolen", "link/secret", "link/stolen", "linked", "link/a/b/stolen")
BETWEEN = ("/", "//", "\\", "\\\\", "%2f", "%5c", "\u2215", "\uff0f", "\u29f5", "/./", "\0/", "/\u200b/")
BEFORE = (
    "",
    "/",
    "//",
    "a/",
    "./",
    "\\",
    "C:",
    "C:\\",
    "\\\\host\\share\\",
    "file:///",
    "\ufeff",
    "-",
    "a\n/",
)
BEHIND = ("", "/", ".", " ", "\0", "\0.csv", ":$DATA", "::$INDEX_ALLOCATION", "\r\n", ";.csv", "?", "#", "~1")


@contextmanager
def cage() -> Iterator[Path]:
    """A folder with an upload root in its depth, links in that which lead out, and secrets around it."""
    with tempfile.TemporaryDirectory(prefix="airflow-cage-") as folder:
        outside = Path(folder)
        root = outside / "a" / "b" / "root"
        root.mkdir(parents=True)
        for place in (outside, outside / "a", outside / "a" / "b"):
            (place / "secret").write_bytes(SECRET)
        (root / "link").symlink_to(outside)
        (root / "linked").symlink_to(outside / "secret")
        yield outside


def names(number: int, outside: Path) -> list[str]:
    """So many different names, the same ones every time but for where the cage is."""
    chance, found = random.Random(number), dict.fromkeys(PLAIN)
    targets = ("secret", "stolen", "a/secret", "a/b/secret", "etc/passwd", "airflow.cfg", f"{outside}/stolen")
    while len(found) < number:
        between = chance.choice(BETWEEN)
        parts = [chance.choice(UP) for _ in range(chance.randint(0, 5))]
        target = chance.choice(targets).replace("/", between)
        found[chance.choice(BEFORE) + between.join([*parts, target]) + chance.choice(BEHIND)] = None
    return list(found)


@contextmanager
def service(root: Path) -> Iterator[clients.Client]:
    """The service with this one upload root."""
    from starlette.testclient import TestClient

    from airflow_rest_api.web.app import create_application

    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__UPLOAD_ROOTS": f"files={root}"}):
        app = create_application()
    with TestClient(app, raise_server_exceptions=False) as http:
        yield clients.Client(http, clients.REST, clients.Tokens())


def run(full: bool) -> dict[str, object]:
    """Try 1,000 names (quick: 100) in four ways each, and swap a folder for a link 1,000 times (quick: 60)."""
    number, swaps = (1000, 1000) if full else (100, 60)
    with cage() as outside:
        root, before = outside / "a" / "b" / "root", seen(outside)
        with service(root) as rest:
            answers = Counter[str]()
            for name in names(number, outside):
                for way, answer in tried(rest, name):
                    answers[f"{way} {answer.status_code}"] += 1
                    assert answer.status_code < 500, f"{way} of {name!r}: {answer.text}"
                    assert SECRET not in answer.content, f"{way} of {name!r} read outside the root"
            swapped = while_swapping(rest, root, outside, swaps)
        after = seen(outside)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == set(), f"changed outside the root: {sorted(changed)}"
    assert any(answer.startswith("upload 4") for answer in answers), "no name was refused"
    return {
        "names": number,
        "answers": dict(sorted(answers.items())),
        "uploads while a folder was swapped for a link": dict(swapped),
        "files outside the root, written, changed or read": 0,
    }


def seen(outside: Path) -> dict[str, bytes]:
    """What is outside the root, and below no link; files by their content."""
    found: dict[str, bytes] = {}
    for folder, inner, files in os.walk(outside):
        inner[:] = [name for name in inner if name != "root"]
        found |= {f"{folder}/{name}": Path(folder, name).read_bytes() for name in files}
        found |= {f"{folder}/{name}": b"" for name in inner}
    return found


def tried(rest: clients.Client, name: str) -> Iterator[tuple[str, httpx.Response]]:
    """The answers to all that can be done with a name: as a path, as a client's file name, and in an address."""
    raw = name.encode("utf-8", "surrogatepass")
    # Dots too, which clients take for the way up before they send anything.
    address = quote(raw, safe="/").replace(".", "%2E")
    yield "get", rest.get(f"/files/files/{address}")
    yield "list", rest.get("/files", params=f"prefix={quote(raw, safe='')}")
    yield "upload", upload(rest, path=raw)
    yield "upload by name", upload(rest, file_name=raw)
    yield "delete", rest.delete(f"/files/files/{address}")


def upload(rest: clients.Client, path: bytes = b"", file_name: bytes = b"stolen") -> httpx.Response:
    """Upload with any bytes as path and file name; what would end the name early is written as browsers write it."""
    for byte in (b'"', b"\r", b"\n"):
        file_name = file_name.replace(byte, b"%%%02X" % byte[0])
    fields = {b"root": b"files", b"path": path, b"force": b"true"}
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (field, value)
        for field, value in fields.items()
    ]
    parts.append(
        b'Content-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s' % (file_name, STOLEN)
    )
    body = b"".join(b"--edge\r\n%s\r\n" % part for part in parts) + b"--edge--\r\n"
    return rest.post("/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=edge"})


def while_swapping(rest: clients.Client, root: Path, outside: Path, number: int) -> Counter[int]:
    """Upload into a folder that is a link out of the root half of the time."""
    folder, done = root / "swapped", threading.Event()
    folder.mkdir()

    def swap() -> None:
        for turn in count():
            steps = (
                partial(folder.rename, root / f"aside{turn}"),
                partial(folder.symlink_to, outside),
                folder.unlink,
                folder.mkdir,
            )
            for step in steps:
                # An upload makes the folder where it finds none, which then stands in the way of the next step.
                with suppress(OSError):
                    step()
                # Without a rest this thread takes all the time of the others, and fills the disk with folders.
                time.sleep(0.0005)
            if done.is_set():
                break

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        answers = Counter(upload(rest, path=b"swapped/file%d" % one).status_code for one in range(number))
    finally:
        done.set()
        swapper.join()
    assert set(answers) <= {201, 404, 409}, f"answered {dict(answers)}"
    return answers

"""Hostile archives: whatever is in there, nothing is written or read but below the place that was asked for."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from airflow_rest_api.services.deployments.archive import MOST_ENTRIES
from tests.faults.hostile_names import SECRET, STOLEN, cage, names, seen
from tests.support import clients, deployments, environment

MODULE = b"# airflow dag\n"
TAR_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, b"S")
ZIP_MODES = (0o100644, 0o120777, 0o010644, 0o040755, 0)
# Of the archives' limit in this service; ten times as much may come out of one.
LIMIT_KIB = 1024
BOMB = bytes((10 * LIMIT_KIB + 1) << 10)


@contextmanager
def service(root: Path, temporary: Path) -> Iterator[clients.Client]:
    """A service that deploys into the bundle ``root``, and whose temporary files are in the cage as well."""
    from airflow_rest_api.services.deployments import sandboxes

    made: list[Any] = []
    of_installation = sandboxes.of_installation

    def sandbox(*arguments: Any) -> Any:
        made.append(of_installation(*arguments))
        return made[-1]

    bundles = json.dumps([environment.local_bundle("caged", root)])
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        "AIRFLOW__REST_API__MAX_ARCHIVE_KIB": str(LIMIT_KIB),
    }
    configured = mock.patch.dict(os.environ, settings)
    caged = mock.patch.object(tempfile, "tempdir", str(temporary))
    with configured, caged, mock.patch.object(sandboxes, "of_installation", sandbox):
        try:
            with deployments.service(clients.Tokens()) as rest:
                yield rest
        finally:
            made[0].stop()


def run(full: bool) -> dict[str, object]:
    """Check or deploy 1,000 archives (quick: 150), each with a name or an entry that leads out, or too much in it."""
    number = 1000 if full else 150
    with cage() as outside:
        root, temporary = outside / "a" / "b" / "root", outside / "a" / "b" / "tmp"
        temporary.mkdir()
        before, answers = seen(outside), Counter[str]()
        with service(root, temporary) as rest:
            for turn, name in enumerate(names(number, outside)):
                kind, data = archive(turn, name, outside)
                answer = sent(rest, data, deploys=turn % 2 == 1)
                answers[f"{kind} {answer.status_code}"] += 1
                assert answer.status_code in (200, 201, 422), f"{kind} with {name!r}: {answer.text}"
                assert SECRET not in answer.content, f"{kind} with {name!r} read outside"
        after, inside = seen(outside), {path.name for path in root.iterdir()}
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == set(), f"changed outside the bundle: {sorted(changed)}"
    assert inside == {"pack", ".rest_api", "link", "linked"}, f"deployed elsewhere in the bundle: {inside}"
    assert all(f"{kind} 422" in answers for kind in KINDS), f"some kind was never refused: {dict(answers)}"
    return {
        "archives": number,
        "answers": dict(sorted(answers.items())),
        "files outside the bundle, written, changed or read": 0,
    }


def sent(rest: clients.Client, data: bytes, *, deploys: bool) -> httpx.Response:
    """Have an archive checked or deployed."""
    form = {"archive": ("pack", data), "path": (None, "pack")}
    if deploys:
        return rest.post("/deployments", files={**form, "force": (None, "true")})
    return rest.post("/deployments/validate", files=form)


def archive(turn: int, name: str, outside: Path) -> tuple[str, bytes]:
    """An archive of a kind that goes by turns."""
    kind = list(KINDS)[turn % len(KINDS)]
    chance = random.Random(turn)
    with warnings.catch_warnings():
        # Of names that are there twice, which is what is wanted.
        warnings.simplefilter("ignore")
        return kind, KINDS[kind](name.encode("utf-8", "replace").decode(), chance, outside)


def _zip(*entries: tuple[str, bytes, int]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data, mode in entries:
            info = zipfile.ZipInfo("x")
            # Past what a writer of good will makes of a name.
            info.filename = name
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            packed.writestr(info, data)
    return raw.getvalue()


def _tar(*entries: tuple[str, bytes, bytes, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as packed:
        for name, data, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            packed.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def _named_in_zip(name: str, chance: random.Random, _: Path) -> bytes:
    return _zip(("dag.py", MODULE, 0o100644), (name, STOLEN, chance.choice(ZIP_MODES)))


def _named_in_tar(name: str, _: random.Random, __: Path) -> bytes:
    return _tar(("dag.py", MODULE, tarfile.REGTYPE, ""), (name, STOLEN, tarfile.REGTYPE, ""))


def _linked_in_zip(name: str, _: random.Random, outside: Path) -> bytes:
    return _zip(("way", str(outside).encode(), 0o120777), ("way/stolen", STOLEN, 0o100644), (name, b"", 0))


def _linked_in_tar(name: str, chance: random.Random, outside: Path) -> bytes:
    target = chance.choice((str(outside), f"{outside}/secret", "../../../secret", "..", name))
    kind = chance.choice(TAR_TYPES)
    return _tar(("way", b"", kind, target), ("way/stolen", STOLEN, tarfile.REGTYPE, ""))


def _twice(_: str, chance: random.Random, __: Path) -> bytes:
    first, second = chance.choice(
        (("dag.py", "dag.py"), ("dag.py", "dag.py/x"), ("x/./y", "x/y"), ("./x", "x"))
    )
    return _zip((first, MODULE, 0o100644), (second, STOLEN, 0o100644))


def _bomb(_: str, chance: random.Random, __: Path) -> bytes:
    if chance.random() < 0.5:
        return _zip(("dag.py", MODULE, 0o100644), ("zeros.bin", BOMB, 0o100644))
    return _tar(*((f"{number}.py", b"", tarfile.REGTYPE, "") for number in range(MOST_ENTRIES + 1)))


def _damaged(name: str, chance: random.Random, outside: Path) -> bytes:
    good = (
        _zip(("dag.py", MODULE, 0o100644))
        if chance.random() < 0.5
        else _named_in_tar("a.py", chance, outside)
    )
    return good[: chance.randrange(2, len(good))] + name.encode()


KINDS: dict[str, Callable[[str, random.Random, Path], bytes]] = {
    "name in a zip": _named_in_zip,
    "name in a tar": _named_in_tar,
    "link in a zip": _linked_in_zip,
    "link in a tar": _linked_in_tar,
    "one name twice": _twice,
    "bomb": _bomb,
    "damaged": _damaged,
}

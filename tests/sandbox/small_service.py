"""A small service with secrets, whose sandbox is attacked; `python -m tests.sandbox.small_service FOLDER`.

In the folder are `home`, with a configuration and a database, `bundle`, and folders of files to be parsed. For each
line of input, which names some of those folders, it parses them one after the other, and writes a line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from airflow_rest_api.sandbox.box import Sandbox, SandboxTooWeak

SECRET = "a-secret-of-the-service"


def main() -> None:
    folder = Path(sys.argv[1])
    home, bundle = folder / "home", folder / "bundle"
    home.mkdir(mode=0o700)
    bundle.mkdir()
    (home / "airflow.cfg").write_text(SECRET)
    (home / "airflow.cfg").chmod(0o600)
    with sqlite3.connect(home / "airflow.db") as database:
        database.execute("create table secrets as select ? as value", [SECRET])
    for name in ("neighbour.py", ".git/config", "hidden/password"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text(SECRET if name != "neighbour.py" else "kept")
    listeners = _listeners(folder)
    box = Sandbox(hidden=[home, bundle / "hidden"], is_weak_allowed="weak" in sys.argv, seconds=20)
    facts = {"pid": os.getpid(), "port": listeners[0].getsockname()[1], "strength": box.strength()}
    _write(facts)
    for line in sys.stdin:
        _write([_parsed(box, folder, name) for name in json.loads(line)])
    box.stop()


def _write(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _listeners(folder: Path) -> list[socket.socket]:
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    found = [tcp, udp]
    for kind, name in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_DGRAM, "datagram")):
        for address in (str(folder / f"{name}.socket"), f"\0{folder}-{name}"):
            found.append(socket.socket(socket.AF_UNIX, kind))
            found[-1].bind(address)
            if kind == socket.SOCK_STREAM:
                found[-1].listen()
    for one in found:
        one.setblocking(False)
    return found


def _parsed(box: Sandbox, folder: Path, name: str) -> object:
    before = _state(folder)
    try:
        found = box.validate(folder / name, bundle_name="drafts", beside=folder / "bundle")
    except SandboxTooWeak:
        return {"is_too_weak": True}
    after = _state(folder)
    errors = {fault.path: fault.message for fault in found.errors}
    changed = {
        key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)
    }
    return {
        "sandbox": found.sandbox,
        "errors": errors,
        "dags": [dag.dag_id for dag in found.dags],
        "changed": changed,
    }


def _state(folder: Path) -> dict[str, object]:
    """Return what must not change: files, and the attributes of this process."""
    found: dict[str, object] = {
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
        "limit": resource.getrlimit(resource.RLIMIT_CPU),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "children": sorted(_children()),
    }
    for path in [*(folder / "bundle").rglob("*"), *(folder / "home").rglob("*")]:
        entry = path.lstat()
        content = path.read_bytes().hex() if path.is_file() else ""
        found[str(path)] = [entry.st_mode, entry.st_uid, entry.st_mtime_ns, entry.st_nlink, content]
    return found


def _children() -> list[str]:
    """Return who is left in a cell: processes of the attacks are marked by their names."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (path / "comm").read_text() == "left-behind\n":
                found.append(path.name)
    return found


if __name__ == "__main__":
    main()

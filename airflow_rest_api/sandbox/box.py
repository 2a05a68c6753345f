"""The box: the service's side of the sandbox.

It starts the fork server when it is first needed, again when it has died, sends it one request for each parse and
each test of a connection, and reads what comes back.
"""

from __future__ import annotations

import json
import os
import select
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_rest_api.sandbox import fork_server, packages, replies, verdict
from airflow_rest_api.sandbox.fork_server import ForkServer, SandboxUnavailable
from airflow_rest_api.sandbox.replies import Reply
from airflow_rest_api.sandbox.strength import Strength
from airflow_rest_api.sandbox.verdict import ParseFault, Verdict

__all__ = ["Sandbox", "SandboxBusy", "SandboxTooWeak", "SandboxUnavailable"]

# As long as Airflow gives a file (`[core] dagbag_import_timeout`).
SECONDS = 30.0
AT_ONCE = 2
# Most drivers give up after 10 s on a host that does not answer, and say so better than we can.
DIAL_SECONDS = 15.0
# Tests of connections: they wait for others, and do not use the processor meanwhile.
DIALS_AT_ONCE = 4
# Of the temporary folder of each parse.
CELL_PREFIX = "rest-api-cell-"
# Calls that parse or wait for that, by default; each of them holds a thread of the service.
PLACES = 8
# How long a request waits for its turn.
_TURN_SECONDS = 10.0
# What the warden needs at the most to end a cell.
_GRACE_SECONDS = 10.0
_MOST_ANSWER = 16 << 20
_SENTENCES = {
    "timeout": "Parsing took longer than {seconds:g} seconds.",
    "memory": "Parsing needed more than 2 GiB of memory.",
    "output": "Parsing wrote more than 4 MiB of output or too many temporary files, or its result is too long.",
    "exit": "The process that parsed the file ended itself.",
    "crash": "The process that parsed the file crashed.",
    "forged": "The process that parsed the file wrote an answer that is not the parser's.",
}


class SandboxBusy(Exception):
    """Other files are being parsed, for longer than anybody should wait."""


class SandboxTooWeak(Exception):
    """This machine separates processes so little that nothing is executed unless a setting allows it."""


def _sent(folder: Path) -> Iterator[str]:
    """Yield the paths of the modules in a folder; of a module in an archive, the archive's path is a part."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".py" and path.is_file():
            yield name
        elif path.suffix == packages.SUFFIX and path.is_file():
            yield from (f"{name}/{module}" for module in packages.modules(path))


class Sandbox:
    """Parses DAG files, and tests connections, where they can neither see nor reach anything of this service.

    ``hidden`` are paths that must not be seen although they may lie within Python's own folders; ``python_path``
    those from which DAG files import beside their bundle. ``seconds`` bounds each parse, ``dial_seconds`` each test,
    ``places`` how many calls may be at work or wait for their turn. Where the sandbox is weak, it runs nothing unless
    ``is_weak_allowed``.
    """

    def __init__(
        self,
        hidden: Sequence[Path] = (),
        python_path: Sequence[Path] = (),
        *,
        seconds: float = SECONDS,
        dial_seconds: float = DIAL_SECONDS,
        places: int = PLACES,
        is_weak_allowed: bool = False,
    ) -> None:
        self._is_weak_allowed = is_weak_allowed
        self._dial_seconds = dial_seconds
        self._dials = threading.BoundedSemaphore(DIALS_AT_ONCE)
        self._hidden = [str(path.resolve()) for path in hidden]
        self._python_path = [str(path.resolve()) for path in python_path if path.is_dir()]
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(places)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._at_exit: Callable[[], None] = _nothing
        self._strength: Strength | None = None

    def validate(
        self, folder: Path, *, bundle_name: str, beside: Path | None = None, replaced: str | None = None
    ) -> Verdict:
        """Parse all modules in ``folder`` and in its zip archives; paths are those that they will have in the bundle.

        ``beside`` is the bundle's folder, of which the files can be read and imported; what it has at the path
        ``replaced`` is not there. Raises `SandboxBusy`, `SandboxTooWeak`, `SandboxUnavailable`.
        """
        begin = time.monotonic()
        sent = list(_sent(folder))
        with self._turn(), tempfile.TemporaryDirectory(prefix=CELL_PREFIX) as stage:
            # The server's own user must be able to enter it, whoever that is.
            Path(stage).chmod(0o755)
            request = {
                **self._request(stage, folder, self._seconds),
                "beside": str(beside.resolve()) if beside else None,
                "replaced": replaced,
                "bundle_name": bundle_name,
            }
            answer = self._ask(request, self._seconds)
        return self._verdict(answer, sent, time.monotonic() - begin)

    def dial(
        self, connection: Mapping[str, Any], *, openings: Sequence[tuple[str, int | None]], own: Sequence[str]
    ) -> Reply:
        """Test a connection with its hook; ``connection`` are the arguments of Airflow's `Connection`.

        Nothing is dialled that `addresses.Policy` denies, but for ``openings``, networks with ports; ``own`` are the
        addresses of Airflow's database and broker. Raises `SandboxBusy`, `SandboxTooWeak`, `SandboxUnavailable`.
        """
        with (
            _one_of(self._places, 0),
            _one_of(self._dials, 0),
            tempfile.TemporaryDirectory(prefix=CELL_PREFIX) as place,
            _piped(json.dumps(connection).encode()) as order,
        ):
            Path(place).chmod(0o755)
            stage, nothing = Path(place, "stage"), Path(place, "nothing")
            for folder in (stage, nothing):
                folder.mkdir(mode=0o755)
            request = self._request(str(stage), nothing, self._dial_seconds)
            request |= {"openings": openings, "own": own}
            answer = self._ask(request, self._dial_seconds, [order])
        if answer["reason"] == "refused":
            raise SandboxUnavailable(answer["output"])
        reply = replies.read(answer)
        if reply is None:
            raise SandboxUnavailable("this machine cannot decide what a process dials")
        return reply

    def _request(self, stage: str, folder: Path, seconds: float) -> dict[str, Any]:
        return {
            "stage": stage,
            "folder": str(folder.resolve()),
            "beside": None,
            "replaced": None,
            "readable": self._python_path,
            "hidden": self._hidden,
            "seconds": seconds,
            "is_weak_allowed": self._is_weak_allowed,
        }

    def start(self) -> None:
        """Start the server, so that the first parse does not have to wait for it; raises `SandboxUnavailable`."""
        with self._lock:
            self._running()

    def stop(self) -> None:
        """End the server and whatever is being parsed; a later parse starts it anew."""
        with self._lock:
            self._server = None
            self._at_exit()

    def strength(self) -> Strength:
        """Return how well processes are separated from the service; `weak` as long as a probe has not found out."""
        return self.probed() or "weak"

    def probed(self) -> Strength | None:
        """Return the strength that a child process has found by trying it, None if the child failed."""
        if self._strength is None:
            with tempfile.TemporaryDirectory(prefix="rest-api-probe-") as folder:
                found = fork_server.said("strengths", Path(folder))
                self._strength = None if found is None else _strength(found.decode())
        return self._strength

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with _one_of(self._places, 0), _one_of(self._turns, _TURN_SECONDS):
            yield

    def _running(self) -> ForkServer:
        if self._server is not None and self._server.process.poll() is not None:
            self._server = None
            self._at_exit()
        if self._server is None:
            self._server = fork_server.started()
            # With this object, or with this process: in an orderly end nothing is left to be cleaned up.
            self._at_exit = weakref.finalize(self, self._server.end)
        return self._server

    def _ask(
        self, request: Mapping[str, Any], seconds: float, further: Sequence[int] = ()
    ) -> Mapping[str, Any]:
        answer, reply = os.pipe()
        wanted, unwanted = os.pipe()
        # Closing the last end of this pipe ends the cell, also when this process is killed.
        with os.fdopen(answer, "rb", buffering=0) as reader, os.fdopen(unwanted, "wb"):
            try:
                with self._lock:
                    channel = self._running().channel
                    socket.send_fds(channel, [json.dumps(request).encode()], [reply, wanted, *further])
            except OSError as fault:
                raise SandboxUnavailable from fault
            finally:
                os.close(reply)
                os.close(wanted)
            found = _read(reader.fileno(), seconds + _GRACE_SECONDS)
        if found["reason"] == "weak":
            raise SandboxTooWeak
        return found

    def _verdict(self, answer: Mapping[str, Any], sent: list[str], seconds: float) -> Verdict:
        self._strength = strength = _strength(answer["strength"])
        reason = answer["reason"]
        if reason == "refused":
            raise SandboxUnavailable(answer["output"])
        try:
            files, current, is_ended = verdict.read(answer["result"].splitlines(), sent)
        except verdict.Unreadable:
            # After a kill the last line may be half of one.
            files, current, is_ended = [], None, False
            reason = "forged" if reason == "done" else reason
        ending = None
        if not is_ended or reason != "done":
            reason = "exit" if reason == "done" else reason
            sentence = _SENTENCES[reason].format(seconds=self._seconds)
            kind = "crash" if reason == "forged" else reason
            ending = ParseFault(current or _first(sent, files), None, kind, sentence)
        return Verdict(tuple(files), seconds, strength, ending)


@contextmanager
def _one_of(semaphore: threading.Semaphore, seconds: float) -> Iterator[None]:
    if not semaphore.acquire(timeout=seconds):
        raise SandboxBusy
    try:
        yield
    finally:
        semaphore.release()


@contextmanager
def _piped(content: bytes) -> Iterator[int]:
    """Yield the end of a pipe from which content can be read, of any size, and by nobody else."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=_write, args=(writer, content), daemon=True)
    thread.start()
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()


def _write(writer: int, content: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]


def _strength(name: str) -> Strength:
    return next((known for known in ("full", "partial") if known == name), "weak")


def _nothing() -> None:
    """End a server that was not started."""


def _first(sent: list[str], files: list[verdict.ParsedFile]) -> str:
    """Return the first file of which nothing was heard."""
    known = {file.path for file in files}
    return next((path for path in sent if path not in known), sent[0] if sent else "")


def _read(reader: int, seconds: float) -> Mapping[str, Any]:
    """Read the answer of a warden; raises `SandboxUnavailable` when none comes."""
    deadline = time.monotonic() + seconds
    content = bytearray()
    while len(content) <= _MOST_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise SandboxUnavailable("no answer in time")
        data = os.read(reader, 65_536)
        if not data:
            break
        content += data
    try:
        answer = json.loads(content)
    except ValueError as fault:
        raise SandboxUnavailable("the cell ended without an answer") from fault
    if not isinstance(answer, dict):
        raise SandboxUnavailable("no answer")
    return answer

"""Channels: what a guardian has opened before its first keeper, and each keeper inherits."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from airflow_rest_api.supervision.folders import Folder

CONTROL, OUTPUT, LOCK = "control", "output", "lock"
# As much as a component may say while one keeper follows another.
_OUTPUT_BYTES = 1 << 20
_LOCK_SECONDS, _TICK_SECONDS = 2.0, 0.02
_MESSAGE = 4 << 10
_END = struct.Struct("ii")


@dataclass(frozen=True)
class Channels:
    """Both ends are held of each: none ends while a guardian or a keeper lives, and the output not even then.

    ``output`` is what the component writes, ``control`` what the keeper is told, ``ends`` which children the guardian
    has buried.
    """

    output: tuple[int, int]
    control: int
    ends: tuple[int, int]

    @classmethod
    def opened(cls, folder: Folder) -> Channels:
        """Open the channels of an instance; raises `OSError`."""
        for name in (CONTROL, OUTPUT):
            folder.make_pipe(name)
        # The component reads what it writes, in a manner of speaking: without keepers it waits, and is not told that
        # nobody listens any more, which would be the end of most.
        output = folder.open(OUTPUT, os.O_RDONLY), folder.open(OUTPUT, os.O_RDWR)
        channels = cls(output, folder.open(CONTROL, os.O_RDWR), os.pipe())
        with suppress(OSError):
            fcntl.fcntl(output[0], fcntl.F_SETPIPE_SZ, _OUTPUT_BYTES)
        os.set_blocking(output[1], True)
        for descriptor in channels.ends:
            os.set_blocking(descriptor, False)
        return channels

    def heard(self) -> list[bytes]:
        """Return what the keeper has been told."""
        with suppress(BlockingIOError):
            return os.read(self.control, _MESSAGE).splitlines()
        return []

    def tell_end(self, pid: int, code: int) -> None:
        """Tell the keeper how a process ended that has become the guardian's child."""
        with suppress(BlockingIOError):
            os.write(self.ends[1], _END.pack(pid, code))

    def ended(self) -> dict[int, int]:
        """Return the exit codes of the processes that the guardian has told of."""
        with suppress(BlockingIOError):
            return dict(_END.iter_unpack(os.read(self.ends[0], _END.size * 100)))
        return {}


def locked(
    folder: Folder, *, seconds: float = _LOCK_SECONDS, is_in_use: Callable[[], bool] = lambda: False
) -> int | None:
    """Return the lock of an instance, None when another holds it; it is held until the last copy is closed.

    Whoever has just ended its instance holds it for a moment longer, and is waited for, unless the instance
    ``is_in_use`` by then.
    """
    descriptor = folder.open(LOCK, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline or is_in_use():
                os.close(descriptor)
                return None
        time.sleep(_TICK_SECONDS)


def ask_to_stop(folder: Folder, marker: str, grace_seconds: float | None) -> bool:
    """Tell the keeper of a start to end it; False when nobody would hear that. Nobody else obeys."""
    try:
        descriptor = folder.open(CONTROL, os.O_WRONLY)
    except OSError:
        return False
    try:
        seconds = "" if grace_seconds is None else repr(float(grace_seconds))
        os.write(descriptor, f"stop {marker} {seconds}\n".encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def asked_to_stop(message: bytes, marker: str, grace_seconds: float) -> float | None:
    """Return the grace that a message gives, None where it is none for this start."""
    word, _, rest = message.decode(errors="replace").partition(" ")
    told, _, seconds = rest.partition(" ")
    if (word, told) != ("stop", marker):
        return None
    try:
        return float(seconds) if seconds else grace_seconds
    except ValueError:
        return None

"""The guard: decides in the warden what a process inside may dial, whichever library dials (seccomp_unotify(2)).

The kernel stops each call that names an address and tells it here. An address that is denied is answered with
`EACCES` and never dialled. One that is allowed is dialled here, on the socket of the process, at the address that was
looked at: what the process has in its memory by then is of no account, and neither is what a name stands for.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_rest_api.sandbox.addresses import Address, Policy
from airflow_rest_api.sandbox.child import calls, kernel

LOCAL_SOCKET, OTHER_FAMILY = "a socket of this machine", "a network that is not IP"
# linux/seccomp.h: a notification is a struct of 80 bytes, its answer one of 24.
_NOTIFICATION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_MOST_ADDRESS, _MOST_MESSAGES, _MESSAGE_BYTES = 128, 1024, 64
_MSG_FASTOPEN = 0x20000000
# Whom the C library asks for names before it asks the network; it does without them.
_NAME_SERVICES = (b"/run/", b"/var/run/nscd/")


def install(channel: socket.socket) -> None:
    """Let this process and all that it starts be guarded by whoever listens at the other end of the channel.

    Raises `OSError` where this machine cannot do that.
    """
    found: list[int] = []
    is_over = threading.Event()

    def send() -> None:
        is_over.wait()
        if found:
            socket.send_fds(channel, [b"."], found)

    # A thread that was there before is not guarded: who is, would wait for ever to tell of the first call.
    messenger = threading.Thread(target=send)
    messenger.start()
    try:
        found.append(calls.hand_over())
    finally:
        is_over.set()
        messenger.join()
    os.close(found[0])
    channel.close()


@dataclass(frozen=True)
class _Call:
    id: int
    thread: int
    name: str
    arguments: tuple[int, ...]

    def memory(self, place: int, length: int) -> bytes:
        """Read the memory of the process; raises `OSError`."""
        descriptor = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY)
        try:
            data = os.pread(descriptor, length, place)
        finally:
            os.close(descriptor)
        if len(data) != length:
            raise OSError(errno.EFAULT, "the address ends where the memory ends")
        return data


class Guard:
    """Answers what comes from inside; it is read like the pipes of the warden: `reader`, `is_open`, `take`."""

    def __init__(self, policy: Policy) -> None:
        """Make the channel at which the process inside tells that it is guarded from now on."""
        self._policy = policy
        self._channel, self.theirs = socket.socketpair()
        self._is_listening = False
        self.reader = self._channel.fileno()
        self.is_open = True
        # What was denied, in the order of the first time.
        self.denied: list[str] = []

    def leave_theirs(self) -> None:
        """Close the end that is another process's, so that its end can be seen."""
        self.theirs.close()

    def take(self) -> bool:
        """Take what is there, and answer it."""
        if self._is_listening:
            self._take_call()
        else:
            _, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            self.is_open = self._is_listening = bool(descriptors)
            self.reader = descriptors[0] if descriptors else -1
        return True

    def _take_call(self) -> None:
        looking = select.poll()
        looking.register(self.reader, select.POLLIN)
        if not any(state & select.POLLIN for _, state in looking.poll(0)):
            self.is_open = False  # nobody is left who could call
            return
        raw = bytearray(_NOTIFICATION.size)
        with suppress(OSError):  # the process has ended meanwhile
            fcntl.ioctl(self.reader, _RECEIVE, raw)
            id_, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(raw)
            self._decide(_Call(id_, thread, calls.dialling(number), tuple(arguments)))

    def _decide(self, call: _Call) -> None:
        try:
            if call.name == calls.CONNECT:
                self._connect(call)
            else:
                self._answer(call, self._refusal_of_messages(call))
        except OSError as fault:
            # What cannot be looked at is not dialled.
            self._answer(call, fault.errno or errno.EACCES)

    def _connect(self, call: _Call) -> None:
        raw = _address(call, call.arguments[1], _signed(call.arguments[2]))
        found = _endpoint(raw)
        if found is None:
            self._answer(call, self._refusal_of_family(raw, is_connected=True))
            return
        descriptor = _taken(call)
        try:
            is_datagram = descriptor is not None and _is_datagram(descriptor)
            # Where the socket cannot be seen, who asks a name server is believed.
            fault = self._policy.fault(*found, asks_name=is_datagram or descriptor is None)
            if fault is not None:
                # The C library tries out, without sending anything, which address it would reach from where.
                self._deny(call, None if is_datagram else fault)
            elif descriptor is None:
                self._answer(call, 0)
            else:
                self._dial(call, descriptor, raw, is_brief=is_datagram or not os.get_blocking(descriptor))
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _dial(self, call: _Call, descriptor: int, raw: bytes, *, is_brief: bool) -> None:
        """Dial in place of the process; what may take long is done by a process of its own."""
        if is_brief:
            self._tell(call, kernel.connect(descriptor, raw))
        elif os.fork() == 0:
            try:
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                self._tell(call, kernel.connect(descriptor, raw))
            finally:
                os._exit(0)

    def _refusal_of_messages(self, call: _Call) -> int:
        """Return the error number for a call that sends messages with addresses, 0 for one that may."""
        for place, length, flags in _named(call):
            raw = _address(call, place, length)
            found = _endpoint(raw, is_sent=True)
            if flags & _MSG_FASTOPEN:
                return errno.EOPNOTSUPP  # which dials as well
            if found is None:
                fault = self._refusal_of_family(raw, is_connected=False)
                if fault:
                    return fault
                continue
            reason = self._policy.fault(*found, asks_name=True)
            if reason is not None:
                self._note(reason)
                return errno.EACCES
        return 0

    def _refusal_of_family(self, raw: bytes, *, is_connected: bool) -> int:
        family = _family(raw)
        if family == socket.AF_NETLINK or (is_connected and family == socket.AF_UNSPEC):
            return 0
        if family != socket.AF_UNIX:
            self._note(OTHER_FAMILY)
        elif not raw[2:].startswith(_NAME_SERVICES):
            self._note(LOCAL_SOCKET)
        return errno.EACCES

    def _deny(self, call: _Call, reason: str | None) -> None:
        if reason is not None:
            self._note(reason)
        self._answer(call, errno.EACCES)

    def _note(self, reason: str) -> None:
        if reason not in self.denied:
            self.denied.append(reason)

    def _answer(self, call: _Call, number: int) -> None:
        """Let the kernel go on with the call, or fail it with an error number."""
        self._send(_ANSWER.pack(call.id, 0, -number, 0 if number else _CONTINUE))

    def _tell(self, call: _Call, number: int) -> None:
        """Tell what became of a call that was carried out here."""
        self._send(_ANSWER.pack(call.id, 0, -number, 0))

    def _send(self, answer: bytes) -> None:
        with suppress(OSError):  # nobody waits for it any more
            fcntl.ioctl(self.reader, _SEND, bytearray(answer))


def _address(call: _Call, place: int, length: int) -> bytes:
    if not 2 <= length <= _MOST_ADDRESS:
        raise OSError(errno.EINVAL, "no address")
    return call.memory(place, length)


def _family(raw: bytes) -> int:
    return int(struct.unpack_from("=H", raw)[0])


def _endpoint(raw: bytes, *, is_sent: bool = False) -> tuple[Address, int] | None:
    """Return the address and the port of an address as the kernel writes it, None for one that is not IP."""
    family = _family(raw)
    # Who sends without a family, means the older one (`udp_sendmsg`).
    if (family == socket.AF_INET or (is_sent and family == socket.AF_UNSPEC)) and len(raw) >= 8:
        return ipaddress.IPv4Address(raw[4:8]), int(struct.unpack_from("!H", raw, 2)[0])
    if family == socket.AF_INET6 and len(raw) >= 24:
        return ipaddress.IPv6Address(raw[8:24]), int(struct.unpack_from("!H", raw, 2)[0])
    return None


def _named(call: _Call) -> Iterator[tuple[int, int, int]]:
    """Yield where the addresses of messages are, how long they are, and the flags of the call."""
    arguments = call.arguments
    if call.name == calls.SENDTO:
        yield arguments[4], _signed(arguments[5]), arguments[3]
        return
    is_many = call.name == calls.SENDMMSG
    count, flags = (arguments[2], arguments[3]) if is_many else (1, arguments[2])
    for number in range(min(count, _MOST_MESSAGES)):
        place, length = struct.unpack("=QI", call.memory(arguments[1] + number * _MESSAGE_BYTES, 12))
        if place and length:
            yield place, length, flags


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _taken(call: _Call) -> int | None:
    """Return the socket of the process as one of ours, None where this machine does not allow that.

    The kernel then dials by itself, at the address that the process has in its memory; who could change it there in
    between, runs code of his own already.
    """
    try:
        return kernel.taken(_process_of(call.thread), _signed(call.arguments[0]))
    except OSError as fault:
        if fault.errno in (errno.EPERM, errno.ENOSYS):
            return None
        raise


def _process_of(thread: int) -> int:
    for line in Path(f"/proc/{thread}/status").read_bytes().splitlines():
        if line.startswith(b"Tgid:"):
            return int(line.split()[1])
    raise OSError(errno.ESRCH, "no such process")


def _is_datagram(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as found:
        return found.type == socket.SOCK_DGRAM

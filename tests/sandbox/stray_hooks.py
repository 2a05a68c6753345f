"""Hooks of a provider that only tests install: each does in `test_connection` what its name says."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from airflow.sdk import BaseHook

DISTRIBUTION = "stray-provider"
MSG_FASTOPEN = 0x20000000


class Hook(BaseHook):
    """Does to its connection what the connection's type says."""

    conn_name_attr = "stray_conn_id"
    default_conn_name = "stray_default"
    hook_name = "Stray"
    conn_type = "stray"

    def __init__(self, stray_conn_id: str = "stray_default") -> None:
        super().__init__()
        self.connection = self.get_connection(stray_conn_id)

    def test_connection(self):
        """Do it."""
        return globals()[self.connection.schema](self.connection)


def target(connection):
    """The address of a sink that the connection does not name as one: `127.0.0.1:8000` in its login."""
    host, _, port = connection.login.rpartition(":")
    return host, int(port)


def dial(connection):
    with socket.create_connection(target(connection), timeout=5) as found:
        found.sendall(connection.password.encode() if connection.password else b"dialled")
    return True, "dialled"


def log_in(connection):
    """As a driver does: it sends its password to its host."""
    with socket.create_connection((connection.host, connection.port), timeout=5) as found:
        found.sendall(f"{connection.login} {connection.password} {connection.extra}".encode())
        return True, "logged in"


def dial_patiently(connection):
    """With a socket that blocks."""
    with socket.socket() as found:
        found.connect(target(connection))
        found.sendall(b"dialled")
    return True, "dialled"


def dial_mapped(connection):
    _, port = target(connection)
    with socket.socket(socket.AF_INET6) as found:
        found.connect(("::ffff:127.0.0.1", port))
    return True, "dialled"


def dial_in_c(connection):
    host, port = target(connection)
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.socket(2, 1, 0)
    raw = b"\2\0" + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)
    if library.connect(descriptor, raw, 16):
        return False, os.strerror(ctypes.get_errno())
    return True, "dialled"


def dial_fast(connection):
    """Dial and send at once."""
    with socket.socket() as found:
        found.sendto(b"dialled", MSG_FASTOPEN, target(connection))
    return True, "dialled"


def dial_in_thread(connection):
    told = []

    def work():
        try:
            told.append(dial(connection))
        except OSError as fault:
            told.append((False, str(fault)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return told[0]


def dial_in_child(connection):
    host, port = target(connection)
    source = f"import socket; socket.create_connection(({host!r}, {port})).sendall(b'dialled')"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    return found.returncode == 0, "dialled" if found.returncode == 0 else "kept"


def dial_in_loop(connection):
    async def work():
        _, writer = await asyncio.open_connection(*target(connection))
        writer.close()

    asyncio.run(work())
    return True, "dialled"


def send(connection):
    with socket.socket(type=socket.SOCK_DGRAM) as found:
        found.sendto(b"dialled", target(connection))
        found.sendmsg([b"dialled"], [], 0, target(connection))
    return True, "dialled"


def dial_abstract(connection):
    with socket.socket(socket.AF_UNIX) as found:
        found.connect(f"\0{connection.login}")
    return True, "dialled"


def resolve_again(connection):
    """A name that stands for something else by now."""
    real, host = socket.getaddrinfo, connection.host

    def other(name, port, *args, **kwargs):
        return real("127.0.0.1" if name == host else name, port, *args, **kwargs)

    socket.getaddrinfo = other
    with socket.create_connection((host, target(connection)[1]), timeout=5):
        return True, "dialled"


def follow(connection):
    """As a client of HTTP, which follows redirects."""
    address = f"http://{connection.host}:{connection.port}/"
    with urllib.request.urlopen(address, timeout=5) as answer:
        return True, answer.read().decode()


def hang(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def hang_with_children(connection):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            hang(connection)
    hang(connection)


def leave(_):
    """End at once, and leave a process behind."""
    subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    return True, "left"


def leave_by_exit(_):
    sys.exit("gone")


def crash(_):
    os.abort()


def eat(_):
    return len([bytearray(1 << 26) for _ in range(64)]) > 0, "eaten"


def shout(_):
    while True:
        os.write(1, b"x" * (1 << 16))


def tell(connection):
    """Tell all secrets, in the message and everywhere else."""
    text = f"{connection.password} {connection.extra} {connection.get_uri()}"
    sys.stderr.write(text)
    raise ValueError(f"\x1b[31m{text}\r\nend\u2028{'x' * 10_000}")


def look(connection):
    """Tell what can be seen of the service: environments, files, command lines."""
    found = [f"{name}={value}" for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")]
    for path in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            with suppress(OSError):
                found.append((path / name).read_bytes().decode("utf-8", "replace"))
    place = Path(connection.login)
    return place.exists(), " ".join(found)[:4000]


def nothing(_):
    return None, None


def get_provider_info():
    """What a provider says of itself."""
    return {
        "package-name": DISTRIBUTION,
        "name": "Stray",
        "description": "Hooks for tests.",
        "connection-types": [{"connection-type": "stray", "hook-class-name": f"{__name__}.Hook"}],
    }


def installed(folder: Path) -> Path:
    """Install the provider into a folder of packages below another one; return that of packages."""
    packages = folder / "site-packages"
    information = packages / "stray_provider-1.0.0.dist-info"
    information.mkdir(parents=True)
    (packages / "stray_hooks.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 1.0.0\n")
    (information / "entry_points.txt").write_text(
        "[apache_airflow_provider]\nprovider_info = stray_hooks:get_provider_info\n"
    )
    return packages

"""Entry of `scripts/serve`: a guard process over a supervisor process.

The guard does nothing but pass signals on and wait: should the supervisor itself be killed, the guard
inherits what it left and ends it; should the guard be killed, the kernel tells the supervisor, which stops
in order.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from embedded import processes
from embedded.settings import Home, Login, UnusableHomeError, Wishes, base_path, child_environment, prepare
from embedded.supervisor import StartFailedError, Supervisor, recorded, say

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the embedded Airflow until Ctrl-C or SIGTERM; the exit status is 1 where it could not start."""
    wishes = _wishes(sys.argv[1:])
    try:
        lock = _locked(wishes.home)
        _require_free(wishes.port)
        login = prepare(wishes, os.environ)
    except (UnusableHomeError, OSError) as refusal:
        sys.exit(f"scripts/serve: {refusal}")
    processes.end_all(lambda: processes.survivors(recorded(wishes.home)), grace=3, hurry=lambda: False)
    processes.adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # one that comes before its handler waits for it
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(_supervise(wishes, login, guard))
    status = _guard(child)
    processes.end_all(
        lambda: [*processes.descendants(), *processes.survivors(recorded(wishes.home))],
        grace=0,
        hurry=lambda: True,
    )
    lock.close()
    return status


def _wishes(arguments: list[str]) -> Wishes:
    parser = argparse.ArgumentParser(
        prog="scripts/serve", description="Run Airflow with this REST service, for a try."
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("AIRFLOW__API__PORT", "8080"),
        help="port of the server (8080)",
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=ROOT / ".airflow",
        help="where database, DAGs and logs are kept (.airflow)",
    )
    parser.add_argument("--no-examples", action="store_true", help="leave out Airflow's example DAGs")
    given = parser.parse_args(arguments)
    started_in = Path(os.environ.pop("SERVE_STARTED_IN", str(Path.cwd())))
    home = Home((started_in / given.home.expanduser()).resolve())
    return Wishes(home, given.port, not given.no_examples)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port between 1 and 65535")
    return int(text)


def _locked(home: Home) -> TextIO:
    """The lock on the home, held for as long as the file is open in this process or its supervisor."""
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home.lock.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableHomeError(f'another scripts/serve is running on the home "{home.path}"') from None
    return file


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UnusableHomeError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port"
            ) from None


def _supervise(wishes: Wishes, login: Login, guard: int) -> int:
    os.setsid()  # a signal for the guard's whole group comes once: by way of the guard
    processes.adopt_orphans()
    address = login.url + base_path(os.environ)
    environ = child_environment(wishes.home, os.environ)
    supervisor = Supervisor(wishes.home, environ, wishes.port, f"{address}/rest_api/v1/health/ready")
    for stop in STOP_SIGNALS:
        signal.signal(stop, supervisor.request_stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    processes.follow_parent(signal.SIGTERM, guard)
    try:
        supervisor.run(_banner(wishes.home, login, address))
    except StartFailedError as failure:
        say(str(failure))
        return 1
    return 0


def _guard(child: int) -> int:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for stop in STOP_SIGNALS:
        signal.signal(stop, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1


def _banner(home: Home, login: Login, address: str) -> str:
    lines = [
        "",
        "Airflow and its REST service are ready.",
        f"  Airflow          {address}/",
        f"  REST service     {address}/rest_api/v1",
        f"  Swagger UI       {address}/rest_api/",
        f"  Contract         {address}/rest_api/v1/openapi.yaml",
    ]
    if login.username is None:
        lines.append("  Login            as the auth manager that is set in the environment has it")
    else:
        lines.append(f"  Login            {login.username} / {login.password}")
    lines += [
        f"  Login as a file  {home.login}",
        f"  DAGs             {home.path / 'dags'}",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def _leave() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _leave()

"""Updates: of many that are bound to one state, one is made; and nobody's is lost, on both databases."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.faults.retries import databases
from tests.support import environment, servers

Call = Callable[..., httpx.Response]
NAME = "updated"


@dataclass(frozen=True)
class Counted:
    """An object with a field that holds a number; a change and a replacement are the same body but for the name."""

    noun: str
    place: str
    name_field: str
    body: dict[str, Any]
    field: str

    def of(self, number: int) -> dict[str, Any]:
        """The body with which the number is stored."""
        return {**self.body, self.name_field: NAME, self.field: number}

    def number(self, answer: httpx.Response) -> int:
        """The number that an answer tells."""
        return int(answer.json()[self.field])


COUNTED = (
    Counted("variable", "/variables", "key", {"description": "Counted."}, "value"),
    Counted("connection", "/connections", "connection_id", {"conn_type": "http"}, "port"),
    Counted("pool", "/pools", "name", {"include_deferred": False}, "slots"),
)


def run(full: bool) -> dict[str, object]:
    """200 updates of one state (quick: 25) of each object by PATCH and by PUT; 20 clients that count to 10 (4 to 3)."""
    figures: dict[str, object] = {}
    for name, settings in databases():
        figures |= {f"{name}: {figure}": value for figure, value in on(settings, full=full).items()}
    return figures


def on(settings: dict[str, str], *, full: bool) -> dict[str, object]:
    many, clients, counts = (200, 20, 10) if full else (25, 4, 3)
    figures: dict[str, object] = {}
    with (
        tempfile.TemporaryDirectory(prefix="airflow-updates-") as folder,
        servers.running("standalone", Path(folder), is_covered=False, **settings) as server,
        api(server.url, many) as call,
    ):
        for counted in COUNTED:
            assert call("PUT", place(counted), json=counted.of(0)).status_code == 200
            for method in ("PATCH", "PUT"):
                figure = f"{many} times {method} of one {counted.noun}"
                figures[figure] = one_winner(call, counted, method, many)
            lost, repeated = lost_counts(call, counted, clients, counts)
            figure = f"{clients * counts} counts in one {counted.noun}"
            figures[figure] = {"lost": lost, "repeated after 412": repeated}
    return figures


@contextmanager
def api(url: str, most: int) -> Iterator[Call]:
    """`call("PUT", path, …)` as the admin, with a connection for each of many callers."""
    # A server closes idle connections after five seconds, and one in use at that moment would be an error.
    limits = httpx.Limits(max_connections=most, keepalive_expiry=2)
    with httpx.Client(base_url=f"{url}/rest_api/v1", timeout=120, limits=limits) as http:
        body = {"username": "admin", "password": environment.password_of("admin")}
        token = http.post("/security/login", json=body).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http.request


def place(counted: Counted) -> str:
    return f"{counted.place}/{NAME}"


def one_winner(
    call: Call, counted: Counted, method: str, many: int, condition: str | None = None
) -> dict[int, int]:
    """Send as many different updates at once, all bound to one state; the one that is made is what is stored."""
    before = call("GET", place(counted))
    headers = {"If-Match": condition or before.headers["ETag"]}
    first = counted.number(before) + 1

    def update(number: int) -> httpx.Response:
        return call(method, place(counted), json=counted.of(first + number), headers=headers)

    with ThreadPoolExecutor(many) as callers:
        answers = list(callers.map(update, range(many)))
    told = Counter(answer.status_code for answer in answers)
    assert told == {200: 1, 412: many - 1}, f"{method} of one {counted.noun}: answered {dict(told)}"
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    after = call("GET", place(counted))
    assert counted.number(after) == counted.number(winner), "what is stored is not what was accepted"
    assert after.headers["ETag"] == winner.headers["ETag"]
    return dict(told)


def lost_counts(call: Call, counted: Counted, clients: int, counts: int) -> tuple[int, int]:
    """Count up by clients that read, add one and write what they read back; tell how many are lost."""
    start = counted.number(call("GET", place(counted)))
    repeated: Counter[int] = Counter()

    def count(client: int) -> None:
        done = 0
        while done < counts:
            read = call("GET", place(counted))
            body, headers = counted.of(counted.number(read) + 1), {"If-Match": read.headers["ETag"]}
            answer = call("PUT", place(counted), json=body, headers=headers)
            assert answer.status_code in (200, 412), answer.text
            done += answer.status_code == 200
            repeated[client] += answer.status_code == 412

    with ThreadPoolExecutor(clients) as callers:
        list(callers.map(count, range(clients)))
    lost = start + clients * counts - counted.number(call("GET", place(counted)))
    assert lost == 0, f"{lost} counts in one {counted.noun} are lost"
    return lost, repeated.total()

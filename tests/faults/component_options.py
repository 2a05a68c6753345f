"""Options of components: whatever is sent, a command line has the words of its template, and no shell reads it."""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

from airflow_rest_api.services import errors
from airflow_rest_api.services.components.catalogue import RECIPES
from airflow_rest_api.services.components.recipe import Recipe
from tests.conftest import application, in_process
from tests.support import clients, component_processes

Wishes = dict[str, Any]
# What each option becomes, said once more and in other words than the catalogue's.
JOINED, REPEATED = ("queues", "apps"), ("bundle_name",)
COMPONENTS = {"scheduler", "dag-processor", "triggerer", "api-server", "serve-logs"}
# What this installation cannot start has options all the same.
WITH_OPTIONS = COMPONENTS | {"kerberos"}
# Those that listen: by default for this host alone.
SERVERS = ("api-server", "serve-logs")
SAFE = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:-]*", re.ASCII)
SAFE_PRINCIPAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@-]*", re.ASCII)
BEFORE = (
    "",
    "a",
    "-",
    "--",
    "a=",
    "a ",
    "a,",
    "\\",
    "'",
    '"',
    "a\n",
    "\t",
    "http://",
    "~",
    "/",
    "./",
    "{",
    "%",
)
PAYLOADS = (
    *(
        "$(touch CANARY)",
        "`touch CANARY`",
        "; touch CANARY",
        "| touch CANARY",
        "&& touch CANARY",
        "\ntouch CANARY",
    ),
    *(
        "--daemon",
        "--pid=CANARY",
        "-D",
        "--stdout=CANARY",
        "--log-file=CANARY",
        "--ssl-key=/etc/passwd",
        "--help",
    ),
    *(
        "@/etc/passwd",
        "../../etc/passwd",
        "/etc/passwd",
        "%s%s%n",
        "${IFS}touch${IFS}CANARY",
        "> CANARY",
        "< CANARY",
    ),
    *(
        "{{ 7 * 7 }}",
        "x\0y",
        "\u202e",
        "\uff0d\uff0dhelp",
        "\u0663",
        "x" * 3000,
        "*",
        "?",
        "!!",
        "\r\nX: y",
        "\ud7ff",
    ),
)
BEHIND = ("", " ", "\n", "\0", ",", " #", ";", "'", '"', "\\", "=", "%00", " --daemon", "\x7f", ")", "}")
# What is no attack: nothing would be proven if everything were refused.
PLAIN: tuple[tuple[str, Wishes], ...] = (
    ("scheduler", {"num_runs": 3, "only_idle": True, "skip_serve_logs": True, "verbose": False}),
    ("dag-processor", {"bundle_name": ["a.b-c_d", "0"]}),
    ("triggerer", {"capacity": 1, "queues": ["x:1", "plain"]}),
    ("api-server", {}),
    ("serve-logs", {"port": 8793}),
    ("api-server", {"host": "::1", "apps": ["core", "execution"], "proxy_headers": True}),
)
STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        2**31,
        2**63,
        2**70,
        1.5,
        -0.0,
        1e300,
        [],
        {},
        [[]],
        [None],
        [{}],
        {"a": 1},
    ),
)


def run(full: bool) -> dict[str, object]:
    """Send hostile values in the place of options, their names, the instance and the component."""
    with tempfile.TemporaryDirectory(prefix="airflow-options-") as folder:
        place = Path(folder)
        values = hostile(1000 if full else 250, place / "canary")
        with (
            component_processes.fake(place / "fake") as calls,
            mock.patch.dict(
                os.environ,
                {
                    "AIRFLOW__REST_API__COMPONENTS_ENABLED": ",".join(sorted(COMPONENTS)),
                    "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True",
                },
            ),
        ):
            told = spoken(values)
            statuses, expected = sent(values)
            recorded = calls.settled(len(expected))
        assert sorted(recorded) == sorted(expected), "a command line is not as its template"
        assert not (place / "canary").exists(), "a value was executed"
    assert len(expected) >= len(PLAIN), "nothing was started, so nothing was looked at"
    return {
        "values": len(values),
        "by the service itself: refused": told["refused"],
        "by the service itself: words as in the template": told["spelt"],
        **{f"answered {status}": number for status, number in sorted(statuses.items())},
        "started with the words of the template": len(recorded),
        "executions": 0,
    }


def hostile(number: int, canary: Path) -> list[Any]:
    """So many different values, the same ones every time but for where the canary is."""
    chance, found = random.Random(number), [*STRANGE]
    texts: dict[str, None] = dict.fromkeys(PAYLOADS)
    while len(texts) + len(found) < number:
        texts[chance.choice(BEFORE) + chance.choice(PAYLOADS) + chance.choice(BEHIND)] = None
    return found + [text.replace("CANARY", str(canary)) for text in texts]


def spoken(values: list[Any]) -> Counter[str]:
    """Have each recipe spell each value for each of its options: it refuses it, or says the template's words."""
    told: Counter[str] = Counter()
    for name in sorted(WITH_OPTIONS):
        for option in RECIPES[name].options:
            for value in values:
                told.update(_spoken(RECIPES[name], option, shape) for shape in (value, [value], ["a", value]))
    return told


def _spoken(found: Recipe, option: str, value: Any) -> str:
    try:
        _, *words = found.argv(found.whole({option: value}))
    except errors.Malformed:
        return "refused"
    assert words == template(found.name, {option: value}), f"{option}: {value!r} became {words}"
    return "spelt"


def sent(values: list[Any]) -> tuple[Counter[int], list[list[str]]]:
    """Send each value in one place; return the statuses, and the command lines that there should be."""
    statuses: Counter[int] = Counter()
    expected = []
    with in_process(application()) as http:
        client = clients.Client(http, clients.REST, clients.Tokens())
        orders = [(name, "plain", wishes) for name, wishes in PLAIN]
        for name, instance, wishes in orders + [_order(number, value) for number, value in enumerate(values)]:
            path = f"/components/{quote(name, safe='')}/start"
            answer = client.post(path, params={"instance": instance}, json={"options": wishes})
            statuses[answer.status_code] += 1
            assert answer.status_code in (202, 400, 404), f"{wishes} of {name}: {answer.status_code}"
            if answer.status_code == 202:
                expected.append(template(name, wishes))
                component_processes.stop_all()
    return statuses, expected


def _order(number: int, value: Any) -> tuple[str, str, Wishes]:
    """The component, the instance and the options to send: one of them is the value, in turn."""
    plain = f"i{number}"
    places = list(_options())
    turn = number % (len(places) + 3)
    if turn < len(places):
        name, option, is_list = places[turn]
        return name, plain, {option: [value] if is_list else value}
    text = str(value)
    return [
        ("triggerer", plain, {text: 1}),
        ("triggerer", text, {}),
        (text or "-", plain, {}),
    ][turn - len(places)]


def _options() -> Iterator[tuple[str, str, bool]]:
    for name in sorted(COMPONENTS):
        for option in RECIPES[name].options:
            yield name, option, option in JOINED + REPEATED


def template(name: str, wishes: Wishes) -> list[str]:
    """The command line that a component has with these options, without the interpreter."""
    words = ["-m", "airflow_rest_api.log_server"] if name == "serve-logs" else ["-m", "airflow", name]
    whole = {"host": "127.0.0.1", **wishes} if name in SERVERS else wishes
    for option, value in whole.items():
        flag = f"--{option.replace('_', '-')}"
        parts = value if isinstance(value, list) else [value]
        safe = SAFE_PRINCIPAL if option == "principal" else SAFE
        assert all(isinstance(part, int) or safe.fullmatch(part) for part in parts), f"{value!r} was taken"
        if option == "principal":
            words += parts
        elif option in JOINED:
            words.append(f"{flag}={','.join(parts)}")
        elif value is True:
            words.append(flag)
        elif value is not False:
            words += [f"{flag}={part}" for part in parts]
    return words

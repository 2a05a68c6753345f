"""Export and import of variables, connections and pools, over HTTP."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from copy import deepcopy

import pytest

from tests.support import environment
from tests.support.exchanging import FORMATS, NOUNS, REVEALED, export, send
from tests.support.stored_objects import fill, stored, wipe

pytestmark = pytest.mark.usefixtures("restored_database")

VARIABLES = {
    "plain": ("eu-west-1", "Where the buckets are"),
    "empty_description": ("1", ""),
    "version": ("3.10", None),
    "huge": ("123456789012345678901234567890", None),
    "not a number": ("NaN", None),
    "quoted": ('"text"', None),
    "null": ("null", None),
    "truth": ("true", 'A description\nof two lines with "quotes" and ünïcode # = \''),
    "equals=": ("a=b # no comment ' \" \\n", None),
    "api_password": ("s3cr3t-of-a-variable", None),
    "secret_number": ("8675309", None),
    "nested/with a slash": (
        json.dumps({"password": "s3cr3t-in-json", "value": [1, 2.5, None, "é"]}, indent=2),
        None,
    ),
    "list": (json.dumps([{"a": "b"}, []], indent=2), None),
    "looks_like_json": ('{"a": 1,', None),
    "twice": ('{"a": 1, "a": 2}', None),
    "date": ("2026-01-01", None),
    "yes": ("yes", None),
    "ünïcode": ("žluťoučký kůň 🐎", "🐎"),
}
# What no line of a `.env` file holds.
UNFIT_FOR_ENV = {
    "equals=": None,
    "lines": ("two\nlines", None),
    "nothing": ("", "nothing"),
    "#comment": ("x", None),
}
CONNECTIONS = {
    "bare": {"conn_type": "http"},
    "full": {
        "conn_type": "postgres",
        "description": "Read replica\nwith two lines",
        "host": "db.example.com",
        "login": "user@corp",
        "password": "p@ss:w/rd?&=#%+ ü",
        "schema": "sales/2026",
        "port": 5432,
        "extra": '{"sslmode": "require", "api_key": "k3y-in-an-extra"}',
    },
    "typed_extra": {
        "conn_type": "aws",
        "extra": '{"port": "5432", "verify": false, "nested": {"token": "t0ken-in-nested"}}',
    },
    "with_case": {"conn_type": "snowflake", "host": "Account.EU-West", "schema": "PUBLIC"},
    "with_protocol": {"conn_type": "http", "host": "https://api.example.com/v1", "port": 443},
    "under_score": {"conn_type": "google_cloud_platform", "extra": '{"project": "p"}'},
    "port-only": {"conn_type": "redis", "port": 6379},
    "login.only": {"conn_type": "ssh", "login": "root"},
    "password_only": {"conn_type": "redis", "password": "only-a-passw0rd"},
}
POOLS = {
    "narrow": (3, "A pool", False),
    "endless/with a slash": (-1, None, True),
    "ünïcode # pool": (0, 'quotes " and \\ and = and\nlines', True),
}


@pytest.mark.in_process
class TestRoundTrip:
    @pytest.mark.parametrize(
        "form", [*FORMATS, pytest.param("json", marks=pytest.mark.postgres, id="json-pg")]
    )
    def test_export_wipe_and_import_give_the_same_objects(self, revealing, form):
        variables = {
            name: value for name, value in VARIABLES.items() if form != "env" or name not in UNFIT_FOR_ENV
        }
        fill(variables, CONNECTIONS, POOLS)
        before = stored()
        secrets = {noun: REVEALED if noun != "pools" else {} for noun in NOUNS}
        files = {noun: export(revealing, noun, form, **secrets[noun]) for noun in NOUNS}
        assert {noun: answer.status_code for noun, answer in files.items()} == dict.fromkeys(NOUNS, 200), (
            files["connections"].text
        )
        wipe()
        for noun in NOUNS:
            answer = send(revealing, noun, files[noun].content, f"all.{form}")
            assert answer.status_code == 200, answer.text
        after = stored()
        if form == "env":
            # A line holds JSON in one way, and a URI the extra in another.
            before, after = without_spaces(before), without_spaces(after)
        assert after == before
        wipe()


NASTY = [
    *(
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "n",
        "true",
        "False",
        "null",
        "~",
        "",
        "Null",
        "NaN",
        ".inf",
        "-.INF",
        "nan",
    ),
    *("1", "01", "0o17", "017", "0x1F", "0b101", "1_000", "+1", "-0", "1.", ".5", "1e5", "1E+400", "1.0e10"),
    *("1:30", "190:20:30", "190:20:30.15", "-1:00", "12:30:45.678", "2026-01-01", "2026-01-01T00:00:00Z"),
    *(
        "=",
        "<<",
        "!",
        "!!int 5",
        "&a",
        "*a",
        "?",
        "? a",
        "- a",
        "-",
        ": a",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "%a",
        "@a",
        "`a",
    ),
    *(
        "'",
        '"',
        "'a'",
        '"a"',
        "|",
        ">",
        "|-\n a",
        "{",
        "}",
        "{}",
        "[]",
        "[",
        "{a: 1}",
        "a, b",
        "---",
        "...",
        "--- a",
    ),
    *(
        " a",
        "a ",
        "\ta",
        "a\t",
        "a\n",
        "\na",
        "a\n\nb",
        "a\r\nb",
        "\r",
        "a\x0bb",
        "a\x0cb",
        "a\x1cb",
        "\x07",
        "\x7f",
    ),
    *("\x85", "\u2028", "\u2029", "\ufeff", "\ufeffa", "\u200b", "\ufffe", "\U0001f600", "\\", "\\n", "a\\"),
    *("a***b", "$HOME", "${a}", "{{ ds }}", "KEY=VALUE", "export A=1", "=a", "a=", "# description: x"),
    *(
        "deadbeef" * 60,
        "1" * 401,
        "1" * 5000,
        "-" + "9" * 500,
        "0x" + "f" * 500,
        "1" + ":30" * 200,
        "1." + "0" * 500,
    ),
    *(
        '{"a": ' + "7" * 4000 + "}",
        '{"a": ' + "7" * 5000 + "}",
        '["\\ud800"]',
        '{"\\udfff": 1}',
        "[1.10]",
        "[1e400]",
        "[NaN]",
    ),
    *(
        "[" * 60 + "]" * 60,
        '{"<<": {"a": 1}}',
        '{"=": 1, "yes": "no", "1": 1}',
        '{"value": 1}',
        '{"value": 1, "description": 2}',
    ),
    *("x" * 100_000, "a b " * 500, "\u00e4" * 3000),
]


@pytest.mark.in_process
class TestNastyTexts:
    """What is exported can be imported, whatever it looks like to a reader of the format."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_values_and_descriptions(self, revealing, form):
        written = {f"v{number}": (text, None) for number, text in enumerate(NASTY)}
        written |= {f"d{number}": ("x", text) for number, text in enumerate(NASTY) if text}
        assert_round_trip(revealing, written, form)

    @pytest.mark.parametrize("form", FORMATS)
    def test_names(self, revealing, form):
        assert_round_trip(revealing, {text: ("x", None) for text in NASTY if 0 < len(text) <= 250}, form)

    @pytest.mark.parametrize("seed", range(5))
    def test_random_texts(self, revealing, seed):
        chosen = random.Random(seed)
        letters = "0123456789abcdefxo+-_.:eE~ \t\n#'\"{}[],&*!|>%@`=\\\u00e4\u2028\x85"
        texts = ["".join(chosen.choices(letters, k=chosen.randrange(1, 600))) for _ in range(300)]
        for form in FORMATS:
            assert_round_trip(
                revealing, {f"v{number}": (text, text) for number, text in enumerate(texts)}, form
            )


def assert_round_trip(rest, variables, form):
    """Export and import these; `env` names what no line can hold, and the others have to come back."""
    fill(variables)
    answer = export(rest, "variables", form, **REVEALED)
    if answer.status_code == 409:
        assert form == "env"
        variables = {name: value for name, value in variables.items() if fits_a_line(name, value[0])}
        fill(variables)
        answer = export(rest, "variables", form, **REVEALED)
    assert answer.status_code == 200, answer.text[:1000]
    before = stored()["variables"]
    assert before.keys() == variables.keys()
    wipe()
    sent = send(rest, "variables", answer.content, f"all.{form}")
    assert sent.status_code == 200, sent.text[:1000]
    after = stored()["variables"]
    assert after.keys() == before.keys()
    wrong = [
        (name, before[name], after[name])
        for name in before
        if (as_json(after[name][0]), after[name][1]) != (as_json(before[name][0]), before[name][1])
    ]
    assert wrong == []
    wipe()


def fits_a_line(name, value):
    line = f"{name}={value}"
    return (
        bool(name and value)
        and "=" not in name
        and "#" not in name[:1] + line
        and line.splitlines() == [line]
    )


def as_json(text):
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


def without_spaces(state):
    """A state without how JSON is written, and what an empty text is: a URI says neither."""
    state = deepcopy(state)
    state["variables"] = {key: [as_json(value), *more] for key, (value, *more) in state["variables"].items()}
    for fields in state["connections"].values():
        fields["extra"] = as_json(fields["extra"])
        fields.update({name: value or None for name, value in fields.items()})
    return state


@pytest.fixture(scope="module")
def traded(metadata_database, home, revealing, tmp_path_factory):
    """What the Airflow CLI wrote of all objects, and what it stored when it read what we wrote."""
    folder = tmp_path_factory.mktemp("traded")
    fill({name: value for name, value in VARIABLES.items() if name not in UNFIT_FOR_ENV}, CONNECTIONS, POOLS)
    for noun in NOUNS:
        for form in FORMATS:
            text = export(revealing, noun, form, **(REVEALED if noun != "pools" else {})).text
            (folder / f"ours_{noun}.{form}").write_text(text)

    def cli(noun, verb, name, *more):
        return [noun, verb, str(folder / name), *more]

    steps = [
        cli("variables", "export", "theirs_variables.json"),
        cli("pools", "export", "theirs_pools.json"),
        cli("connections", "export", "theirs_connections.json"),
        cli("connections", "export", "theirs_connections.yaml"),
        cli("connections", "export", "theirs_connections.env"),
        cli("connections", "export", "json.env", "--serialization-format", "json"),
        "stored",
        *("wipe", cli("variables", "import", "ours_variables.json")),
        *(
            cli("connections", "import", "ours_connections.json"),
            cli("pools", "import", "ours_pools.json"),
            "stored",
        ),
        *("wipe", cli("variables", "import", "ours_variables.yaml")),
        *(cli("connections", "import", "ours_connections.yaml"), "stored"),
        *("wipe", cli("variables", "import", "ours_variables.env")),
        *(cli("connections", "import", "ours_connections.env"), "stored"),
        *("wipe", cli("connections", "import", "theirs_connections.env"), "stored"),
    ]
    (folder / "steps.json").write_text(json.dumps(steps))
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.airflow_cli", "steps.json", "result.json"]
    result = subprocess.run(
        [*command[:-2], str(folder / "steps.json"), str(folder / "result.json")],
        env=environment.inherited() | environment.recorded(home) | {"PYTHONPATH": str(environment.ROOT)},
        cwd=environment.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return folder, json.loads((folder / "result.json").read_text())


@pytest.mark.in_process
@pytest.mark.slow
class TestAirflowCli:
    def test_it_reads_our_files_and_has_the_same_objects(self, traded):
        _, (before, of_json, of_yaml, of_env, _) = traded
        assert of_json == before
        assert (of_yaml["variables"], of_yaml["connections"]) == (before["variables"], before["connections"])
        # A `.env` file has no place for descriptions, as far as it knows.
        expected = without_spaces(before)
        for value in expected["variables"].values():
            value[1] = None
        for fields in expected["connections"].values():
            fields["description"] = None
        assert without_spaces(of_env) == {**expected, "pools": of_env["pools"]}

    def test_we_read_its_files_and_have_the_same_objects(self, rest, traded):
        folder, (before, *_, of_env) = traded
        lost = {"version", "twice"}  # what its JSON makes other numbers and objects of
        for noun in NOUNS:
            wipe()
            answer = send(rest, noun, (folder / f"theirs_{noun}.json").read_bytes())
            assert answer.status_code == 200, answer.text
            assert {name: value for name, value in stored()[noun].items() if name not in lost} == {
                name: value for name, value in before[noun].items() if name not in lost
            }
        for name in ("theirs_connections.yaml", "json.env"):
            wipe()
            assert send(rest, "connections", (folder / name).read_bytes(), name).status_code == 200
            assert stored()["connections"] == before["connections"]
        wipe()
        name = "theirs_connections.env"
        assert send(rest, "connections", (folder / name).read_bytes(), name).status_code == 200
        assert without_spaces(stored())["connections"] == without_spaces(of_env)["connections"]

    def test_our_json_is_what_it_writes_where_that_loses_nothing(self, traded):
        folder, _ = traded
        ours, theirs = (
            json.loads((folder / f"{who}_variables.json").read_text()) for who in ("ours", "theirs")
        )
        assert {name for name in ours if ours[name] != theirs[name]} <= {"version", "twice", "not a number"}
        for name in ("pools.json", "connections.json", "connections.yaml"):
            assert (folder / f"ours_{name}").read_text() == (folder / f"theirs_{name}").read_text()

"""What is shown of a stack trace: the exceptions as a whole, and no frames."""

from __future__ import annotations

import sys
import traceback

import pytest

from airflow_rest_api.sandbox import stack_traces


def trace_of(source):
    try:
        exec(compile(source, "etl.py", "exec"), {})
    except BaseException:
        return traceback.format_exc(limit=-100)
    raise AssertionError


RAISED = "def made(x):\n    try: raise ValueError(x)\n    except ValueError as e: return e\n"
MISSING_KEY = "try: {}['k']\nexcept KeyError as e: "


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('one line')", "ValueError: one line"),
        ("raise ValueError", "ValueError"),
        ("raise ValueError('a\\n\\n  indented\\nend\\n')", "ValueError: a\n\n  indented\nend"),
        ("x = (\n", "SyntaxError: '(' was never closed"),
        ("e = ValueError('a')\ne.add_note('a note\\nmore')\nraise e", "ValueError: a\na note\nmore"),
        (
            MISSING_KEY + "raise RuntimeError('no\\nkey') from e",
            "RuntimeError: no\nkey\nCaused by: KeyError: 'k'",
        ),
        (MISSING_KEY + "raise RuntimeError('no')", "RuntimeError: no\nWhile handling: KeyError: 'k'"),
        (MISSING_KEY + "raise RuntimeError('no') from None", "RuntimeError: no"),
        (
            "raise RuntimeError('Traceback (most recent call last):\\n  File x\\nOther: y')",
            "RuntimeError: Traceback (most recent call last):\n  File x\nOther: y",
        ),
    ],
)
def test_it_is_the_type_and_the_whole_message(source, message):
    if "add_note" in source and sys.version_info < (3, 11):
        pytest.skip("exceptions have no notes before Python 3.11")
    assert stack_traces.message(trace_of(source)) == message


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no exception groups")
def test_an_exception_group_has_all_of_its_members():
    inner = "ExceptionGroup('inner', [made('a\\n  b'), OSError(2, 'no file')])"
    source = f"{RAISED}raise ExceptionGroup('outer', [made('first'), {inner}, TypeError('last')])"
    assert stack_traces.message(trace_of(source)).splitlines() == [
        "ExceptionGroup: outer (3 sub-exceptions)",
        "- ValueError: first",
        "- ExceptionGroup: inner (2 sub-exceptions)",
        "- ValueError: a",
        "  b",
        "- FileNotFoundError: [Errno 2] no file",
        "- TypeError: last",
    ]


def test_a_text_without_frames_is_the_message():
    assert (
        stack_traces.message("AirflowDagCycleException: Cycle\n in d\n")
        == "AirflowDagCycleException: Cycle\n in d"
    )
    assert stack_traces.message("") == ""


def test_a_long_message_says_how_much_it_lacks():
    found = stack_traces.message(trace_of("raise ValueError('x' * 10_000)"))
    assert len(found) <= stack_traces.MOST_CHARACTERS
    assert found.endswith("… (6,062 more characters)")
    hinted = stack_traces.with_hint("x" * 10_000, "Do this.")
    assert len(hinted) <= stack_traces.MOST_CHARACTERS
    assert hinted.endswith(" more characters)\nDo this.")


def test_a_message_fits_into_one_line():
    assert stack_traces.one_line("A: b\n\n  c\nd", 100) == "A: b; c; d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("No such file: '/dags/team/cfg.json'", "No such file: 'team/cfg.json'"),
        ("No such file: '/opt/airflow/dags/cfg.json'", "No such file: '/opt/airflow/dags/cfg.json'"),
        ("(/dags/a.py) ~/dags/b ./dags/c", "(a.py) ~/dags/b ./dags/c"),
        ("from 'x' (/srv/v/lib/python3.11/site-packages/x/__init__.py)", "from 'x' (x/__init__.py)"),
        (f"from 'json' ({stack_traces.sysconfig.get_path('stdlib')}/json/a.py)", "from 'json' (json/a.py)"),
    ],
)
def test_only_folders_of_the_sandbox_and_of_python_are_left_out(text, shown):
    assert stack_traces.readable(text, ["/dags"]) == shown

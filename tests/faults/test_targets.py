"""`scripts/faults`: which targets there are, and what is printed about them."""

from __future__ import annotations

import pytest

from tests.faults import __main__ as program

pytestmark = pytest.mark.in_process


def test_every_target_has_a_test_that_runs_it_small():
    folder = program.Path(program.faults.__path__[0])
    assert {"brute_force", "enumeration"} <= set(program.targets())
    # Those that need an Airflow which runs tasks have it there.
    tests = {file.name for place in (folder, folder.parent / "live") for file in place.glob("test_*.py")}
    assert [name for name in program.targets() if f"test_{name}.py" not in tests] == []


def test_the_targets_are_listed(capsys):
    assert program.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == program.targets()


@pytest.mark.parametrize("arguments", [[], ["no_such_target"]])
def test_an_unknown_target_is_an_error_of_the_caller(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        program.main(arguments)
    assert end.value.code == 2


def test_what_holds_is_printed_with_its_figures(monkeypatch, capsys):
    monkeypatch.setattr(program, "target", lambda name: lambda full: {"guesses": 200 if full else 20})
    assert program.run_all(["brute_force"], full=True) == {}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["guesses", "200"] in lines
    assert ["target", "held"] in lines


def test_what_is_missed_says_why(monkeypatch, capsys):
    def with_words(full):
        raise AssertionError("11 reached it")

    def without(full):
        assert 1 > 2

    found = {"first": with_words, "second": without}
    monkeypatch.setattr(program, "target", found.get)
    missed = program.run_all(["first", "second"], full=False)
    assert missed["first"] == "11 reached it"
    assert "1 > 2" in missed["second"]
    assert "MISSED: 11 reached it" in capsys.readouterr().out


def test_a_target_is_the_function_of_its_module(metadata_database):
    from tests.faults import brute_force

    assert program.target("brute_force") is brute_force.run

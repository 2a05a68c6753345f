"""What commands of Airflow 1 printed, to the letter."""

from __future__ import annotations

from airflow_rest_api.legacy.clairvoyant import dag_list, rendering, task_list
from airflow_rest_api.services.dags.dag_names import DagFile


def entry(task_id, *downstream, is_mapped=False):
    return {
        "task_id": task_id,
        "downstream_task_ids": list(downstream),
        "is_mapped": is_mapped,
        "class_ref": {"module_path": "airflow", "class_name": "BashOperator"},
    }


def tasks(*entries):
    return {found["task_id"]: found for found in entries}


class TestTree:
    def test_a_task_stands_below_each_after_which_it_runs(self):
        found = task_list.tree(
            tasks(entry("b", "d", "c"), entry("d", is_mapped=True), entry("c", "d"), entry("a"))
        )
        assert found.splitlines() == [
            "<Task(BashOperator): a>",
            "<Task(BashOperator): b>",
            "    <Task(BashOperator): c>",
            "        <Mapped(BashOperator): d>",
            "    <Mapped(BashOperator): d>",
        ]

    def test_a_tree_that_no_reader_would_live_to_see_the_end_of_is_cut(self):
        layers = [
            entry(f"{layer}-{number}", *(f"{layer + 1}-{below}" for below in range(10) if layer < 39))
            for layer in range(40)
            for number in range(10)
        ]
        lines = task_list.tree(tasks(*layers)).splitlines()
        assert len(lines) == task_list.MOST_LINES + 1
        assert lines[-1] == "... (cut after 10000 lines)"

    def test_a_chain_may_be_longer_than_functions_may_call_each_other(self):
        chain = [entry(f"{number:04}", f"{number + 1:04}") for number in range(2000)]
        lines = task_list.tree(tasks(*chain, entry("2000"))).splitlines()
        assert lines[-1] == " " * 8000 + "<Task(BashOperator): 2000>"

    def test_no_tasks_are_no_lines(self):
        assert task_list.tree({}) == ""


class TestReport:
    def test_files_are_told_with_what_they_hold(self):
        files = [
            DagFile("dags-folder", "etl.py", 1.25, ["etl"]),
            DagFile("extra", "b.py", 0.5, ["one", "two"]),
        ]
        rule = "-" * 67
        assert dag_list.report_of(files).splitlines() == [
            *("", "", rule, "DagBag loading stats for dags-folder, extra", rule),
            "Number of DAGs: 3",
            "Total task number: unknown (list_tasks tells the tasks of a DAG)",
            "DagBag parsing time: 1.75",
            "--------+----------+---------+---------------",
            "file    | duration | dag_num | dags          ",
            "--------+----------+---------+---------------",
            "/etl.py | 1.25     |       1 | ['etl']       ",
            "/b.py   | 0.5      |       2 | ['one', 'two']",
            "--------+----------+---------+---------------",
            "",
        ]

    def test_no_files_make_no_table(self):
        assert dag_list.report_of([]).endswith("DagBag parsing time: 0\n\n")


def test_a_field_is_a_block_and_never_moves_another_one():
    rule = "# " + "-" * 58
    assert rendering.blocks({"bash_command": "echo 1\n  echo 2", "env": None, "args": {"a": 1}}) == (
        f"{rule}\n# property: bash_command\n{rule}\necho 1\n  echo 2\n\n"
        f"{rule}\n# property: env\n{rule}\nNone\n\n"
        f"{rule}\n# property: args\n{rule}\n{{'a': 1}}\n\n"
    )

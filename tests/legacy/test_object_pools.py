"""Old calls on pools, over HTTP: what the commands of Airflow 1 printed."""

from __future__ import annotations

import pytest
from tabulate import tabulate

from tests.support.old_objects import DOOR, USAGE, rows_of
from tests.support.stored_objects import fill, stored

pytestmark = pytest.mark.usefixtures("restored_database")


POOL_HEADINGS = ["Pool", "Slots", "Description"]


def table_of_pools(*rows):
    return tabulate(rows, POOL_HEADINGS, tablefmt="fancy_grid", disable_numparse=[0, 2]) + "\n"


class TestPool:
    def test_without_arguments_all_pools_are_a_table(self, old):
        fill(pools={"1e5": (-1, "Any number", False), "bare": (3, None, True)})
        told = old(DOOR, "pool", {"description": "ignored"}).json()
        rows = [("default_pool", 128, "Default pool"), ("1e5", -1, "Any number"), ("bare", 3, None)]
        assert told["output"] == {"stdout": table_of_pools(*rows), "stderr": "", "stdin": ""}
        assert rows_of(told["output"]["stdout"])[1:] == [
            ["default_pool", "128", "Default pool"],
            ["1e5", "-1", "Any number"],
            ["bare", "3", ""],
        ]

    @pytest.mark.in_process
    def test_a_list_holds_what_the_caller_may_read(self, said, only):
        fill(pools={"mine": (1, "", False)})
        only("mine")
        assert said("pool") == (table_of_pools(("mine", 1, "")), "")
        only()
        assert rows_of(said("pool")[0]) == [POOL_HEADINGS]

    def test_a_pool_is_told_and_an_unknown_one_not(self, old, said):
        fill(pools={"a pool/x": (4, "Reports", False)})
        told = old(DOOR, "pool", {"get": "a pool/x"}).json()
        assert told["output"]["stdout"] == table_of_pools(("a pool/x", 4, "Reports"))
        assert told["airflow_cmd"] == "airflow pool --get a pool/x"
        assert said("pool", form={"get": "x"}) == ("Pool 'x' doesn't exist\n", "")
        assert said("pool", {"get": " "}) == ("Pool name shouldn't be empty\n", "")

    @pytest.mark.parametrize("description", ["pool_description", "description"])
    def test_a_pool_is_set_and_replaced(self, old, description):
        for slots in ("4", "-1"):
            query = {"cmd": "set", "pool_name": "new pool", "slot_count": slots}
            told = old(DOOR, "pool", query, form={description: "For reports"}).json()
            table = table_of_pools(("new pool", int(slots), "For reports"))
            assert told["output"] == {"stdout": table, "stderr": "", "stdin": ""}
            assert told["airflow_cmd"] == f"airflow pool --set new pool {slots} For reports"
            assert stored()["pools"]["new pool"] == [int(slots), "For reports", False]

    @pytest.mark.parametrize(
        "query",
        [
            {"set": "p 1 d"},
            {"cmd": "set", "pool_name": "p", "slot_count": "1"},
            {"cmd": "set", "pool_name": "p", "slot_count": "1", "pool_description": ""},
            {"cmd": "set", "slot_count": "1", "description": "d"},
            {"cmd": "set", "get": "default_pool"},
        ],
        ids=["direct", "two", "empty", "no-name", "nothing"],
    )
    def test_what_was_no_use_of_the_command_changes_nothing(self, said, query):
        before = stored()["pools"]
        stdout, stderr = said("pool", query)
        assert stdout == ""
        assert stderr.startswith("usage: airflow pool [-h]")
        assert stderr.endswith(USAGE.format("pool", 3))
        assert stored()["pools"] == before

    @pytest.mark.parametrize(
        ("name", "slots", "stdout", "stderr"),
        [
            ("p", "many", "Bad value for `slots`: many\n", ""),
            ("p", "-2", "Bad value for `slots`: -2\n", ""),
            ("p", "2147483648", "Bad value for `slots`: 2147483648\n", ""),
            ("p", "1.0", "Bad value for `slots`: 1.0\n", ""),
            (" ", "1", "Pool name shouldn't be empty\n", ""),
            ("p" * 257, "1", "", "The name has more than 256 characters."),
            ("default_pool", "1", "", "Of 'default_pool' only"),
        ],
        ids=["word", "below", "above", "float", "blank", "long", "default"],
    )
    def test_what_is_no_pool_is_not_stored(self, said, name, slots, stdout, stderr):
        before = stored()["pools"]
        sent = {"cmd": "set", "pool_name": name, "slot_count": slots, "pool_description": "d"}
        printed, complaint = said("pool", form=sent)
        assert printed == stdout
        assert complaint.startswith(stderr)
        assert stored()["pools"] == before

    def test_a_long_description_does_not_widen_the_table_without_end(self, said):
        sent = {"cmd": "set", "pool_name": "p", "slot_count": "1", "pool_description": "d" * 60_000}
        assert said("pool", form=sent) == (table_of_pools(("p", 1, "d" * 1000 + "...")), "")
        assert stored()["pools"]["p"] == [1, "d" * 60_000, False]
        assert max(map(len, said("pool")[0].splitlines())) < 1100

    def test_the_slots_of_the_default_pool_can_be_set(self, said):
        sent = {"cmd": "set", "pool_name": "default_pool", "slot_count": "5", "description": "Default pool"}
        assert said("pool", sent) == (table_of_pools(("default_pool", 5, "Default pool")), "")

    def test_a_pool_is_deleted_but_not_the_default_one(self, said):
        fill(pools={"old": (1, "d", False)})
        assert said("pool", {"delete": "old"}) == (table_of_pools(("old", 1, "d")), "")
        assert said("pool", {"delete": "old"}) == ("Pool 'old' doesn't exist\n", "")
        assert said("pool", {"delete": "default_pool"}) == ("default_pool cannot be deleted\n", "")
        assert list(stored()["pools"]) == ["default_pool"]

    def test_of_get_set_and_delete_the_first_is_done(self, said):
        fill(pools={"a": (1, "d", False)})
        sent = {"cmd": "set", "pool_name": "a", "slot_count": "2", "description": "e", "delete": "a"}
        assert said("pool", {**sent, "get": "a"})[0] == table_of_pools(("a", 1, "d"))
        assert said("pool", sent)[0] == table_of_pools(("a", 2, "e"))
        assert stored()["pools"]["a"] == [2, "e", False]

    @pytest.mark.in_process
    def test_who_may_not_is_refused(self, refused, denying):
        fill(pools={"kept": (1, "d", False)})
        setting = {"cmd": "set", "pool_name": "kept", "slot_count": "2", "description": "e"}
        for query, method in (
            ({}, "GET"),
            ({"get": "kept"}, "GET"),
            (setting, "PUT"),
            ({**setting, "pool_name": "new"}, "POST"),
            ({"delete": "kept"}, "DELETE"),
            ({"delete": "kept"}, "GET"),
            ({"delete": "default_pool"}, "DELETE"),
        ):
            assert "may not" in refused("pool", query, role="nobody")
            denying(("pool", method))
            assert "may not" in refused("pool", query)
        assert stored()["pools"]["kept"] == [1, "d", False]

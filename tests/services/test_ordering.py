"""Orders and cursors: every row once, in both directions, and nothing but a refusal for a cursor that is none."""

from __future__ import annotations

import base64
import uuid
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    create_engine,
    func,
    select,
)
from sqlalchemy.types import UserDefinedType

from airflow_rest_api.services.lists import ordering
from airflow_rest_api.services.lists.ordering import Cursor, InvalidCursor, OrderNotAllowed, Sorting, SortKey


class OfNoPythonType(UserDefinedType):
    """A type that no Python type stands for."""

    @property
    def python_type(self):
        raise NotImplementedError


TABLE = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(20)),
    Column("share", Float),
    Column("when", DateTime(timezone=True)),
    Column("key", Uuid),
    Column("on", Boolean),
)
C = TABLE.c
SORTING = Sorting({"name": C.name, "share": C.share, "both": (C.name, C.share), "id": C.id}, ("id", C.id))
ROWS = [
    {"id": 1, "name": "b", "share": 0.5},
    {"id": 2, "name": None, "share": 0.1},
    {"id": 3, "name": "a", "share": None},
    {"id": 4, "name": "b", "share": None},
    {"id": 5, "name": None, "share": None},
    {"id": 6, "name": "a", "share": 0.1},
    {"id": 7, "name": "a", "share": 0.1},
]


def encoded(values):
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(values)).decode().rstrip("=")


@pytest.fixture(scope="module")
def connection():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        TABLE.create(connection)
        connection.execute(TABLE.insert(), ROWS)
        yield connection
    engine.dispose()


class TestKeys:
    def test_without_a_wish_the_primary_key_orders(self):
        assert SORTING.keys(None) == SORTING.keys([]) == [SortKey("id", C.id, False)]

    def test_the_primary_key_ends_every_order_in_its_direction(self):
        assert SORTING.keys(["-name"]) == [SortKey("name", C.name, True), SortKey("id", C.id, True)]
        assert SORTING.keys(["name", "-share"])[-1] == SortKey("id", C.id, False)

    def test_a_compound_name_stands_for_its_parts(self):
        names = [(key.name, key.descending) for key in SORTING.keys(["-both"])]
        assert names == [("name", True), ("share", True), ("id", True)]

    def test_the_primary_key_is_not_there_twice(self):
        assert SORTING.keys(["-id"]) == [SortKey("id", C.id, True)]

    @pytest.mark.parametrize("wish", ["nothing", "", "-", "name desc", "name;drop"])
    def test_an_unknown_name_is_refused_with_the_known_ones(self, wish):
        with pytest.raises(OrderNotAllowed) as refusal:
            SORTING.keys([wish])
        assert refusal.value.detail.endswith("allowed are: both, id, name, share.")

    def test_more_than_ten_are_refused(self):
        assert len(SORTING.keys(["name"] * 10)) == 11
        with pytest.raises(OrderNotAllowed, match="more than 10"):
            SORTING.keys(["name"] * 11)


class TestCursors:
    @pytest.mark.parametrize(
        "wish", [["name"], ["-name"], ["share", "-name"], ["-both"], ["id"], ["-share", "-id"]]
    )
    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_a_walk_meets_every_row_once_and_finds_back(self, connection, wish, size):
        keys = SORTING.keys(wish)

        def page(cursor, backward=False):
            statement = select(TABLE)
            if cursor:
                statement = statement.where(ordering.decode_cursor(cursor, keys).condition(keys, "sqlite"))
            found = connection.execute(ordering.ordered(statement, keys, backward=backward).limit(size)).all()
            return found[::-1] if backward else found

        def cursor_at(row, backward=False):
            values = [getattr(row, key.column.key) for key in keys]
            return ordering.encode_cursor(values, backward=backward)

        whole = connection.execute(ordering.ordered(select(TABLE), keys)).all()
        walked, last = [], page("")
        while last:
            walked += last
            last = page(cursor_at(walked[-1]))
        assert walked == whole
        back = [walked[-1]]
        while before := page(cursor_at(back[0], backward=True), backward=True):
            back = before + back
        assert back == whole

    def test_nulls_stand_where_the_database_sorts_them(self):
        keys = [SortKey("name", C.name, False)]
        found = {
            dialect: str(Cursor((None,), False).condition(keys, dialect))
            for dialect in ("sqlite", "postgresql")
        }
        assert "IS NOT NULL" in found["sqlite"]
        assert "IS NOT NULL" not in found["postgresql"]
        assert "IS NULL" in str(Cursor(("a",), False).condition(keys, "postgresql"))

    @pytest.mark.parametrize(
        "text",
        [
            "!",
            "a",
            "=",
            "ä",
            "~",
            "~~",
            "\0",
            encoded({"id": 1}),
            encoded(1),
            encoded([]),
            encoded([1, 2]),
            encoded([1])[:-1],
            base64.urlsafe_b64encode(b"\x91" * 1400).decode(),
            base64.urlsafe_b64encode(b"\xdd\xff\xff\xff\xff").decode(),
            base64.urlsafe_b64encode(b"\x91\xd9\x02\xff\xff").decode(),
        ],
        ids=lambda text: text[:8],
    )
    def test_what_is_no_cursor_is_refused(self, text):
        with pytest.raises(InvalidCursor):
            ordering.decode_cursor(text, SORTING.keys(None))

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            (C.id, "1"),
            (C.id, 1.0),
            (C.id, True),
            (C.id, 2**64 - 1),
            (C.id, [1]),
            (C.name, 1),
            (C.name, "a\0"),
            (C.name, b"a"),
            (C.share, "1"),
            (C.share, False),
            (C.when, "2026-01-01"),
            (C.when, 1),
            (C.key, "no uuid"),
            (C.key, 1),
            (C.on, "true"),
        ],
    )
    def test_a_value_that_cannot_be_the_columns_is_refused(self, column, value):
        keys = [SortKey("x", column, False)]
        with pytest.raises(InvalidCursor):
            ordering.decode_cursor(encoded([value]), keys).condition(keys, "sqlite")

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            (C.id, 5),
            (C.name, "ä"),
            (C.share, 1),
            (C.share, 0.5),
            (C.key, str(uuid.UUID(int=1))),
            (C.when, datetime(2026, 1, 1, tzinfo=timezone.utc)),
            (func.seconds_between(C.when, C.when), 1.5),
            (C.id, None),
            (Column("x", OfNoPythonType()), 1.5),
        ],
    )
    def test_a_value_of_the_columns_type_is_taken(self, column, value):
        keys = [SortKey("x", column, False)]
        assert ordering.decode_cursor(encoded([value]), keys).condition(keys, "sqlite") is not None

    def test_a_cursor_is_made_as_airflow_makes_it(self):
        moment = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=5)
        assert ordering.encode_cursor([moment, 7]) == encoded([moment, 7])
        assert ordering.encode_cursor([1], backward=True) == f"~{encoded([1])}"


class TestOverHttp:
    @pytest.mark.parametrize("path", ["/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances", "/eventLogs"])
    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "~",
            encoded([2**64 - 1]),
            encoded(["\0"]),
            encoded([None]),
            encoded([-1]),
            encoded([float("nan")]),
            base64.urlsafe_b64encode(b"\x91" * 1400).decode(),
        ],
        ids=range(8),
    )
    def test_no_cursor_is_a_fault_of_the_service(self, rest, path, text):
        assert rest.get(path, params={"cursor": text}).status_code in (200, 400)

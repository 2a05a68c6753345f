"""Filters of lists: what each clause lets through, on real rows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, String, Table, create_engine, select

from airflow_rest_api.services.lists import listing

TABLE = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
    Column("conf", JSON),
    Column("ended", DateTime),
)
C = TABLE.c
DAY = datetime(2026, 1, 1)
NAMES = ["etl", "ETL_old", "etl_new", "a|b", "50%", "x_y", "Ünïcode", "etz", None]
ROWS = [
    {
        "id": number,
        "name": name,
        "conf": {"a": number},
        "ended": DAY + timedelta(days=number) if number < 8 else None,
    }
    for number, name in enumerate(NAMES)
]

FILTERS = {
    "name": listing.equal(C.name),
    "names": listing.any_of(C.name),
    "not_names": listing.none_of(C.name),
    "name_pattern": listing.pattern(C.name),
    "ids": listing.any_of(C.id),
}


@pytest.fixture(scope="module")
def found():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        TABLE.create(connection)
        connection.execute(TABLE.insert(), ROWS)
        yield lambda *where: [
            ROWS[number]["name"] for number in connection.scalars(select(C.id).where(*where).order_by(C.id))
        ]
    engine.dispose()


class TestConditions:
    def test_what_is_not_asked_for_makes_no_condition(self):
        query = {"name": None, "names": [], "ids": None, "other": 1, "not_names": [], "name_pattern": None}
        assert listing.conditions(FILTERS, query) == []
        assert listing.conditions(FILTERS, {"name": ""}) == []

    def test_an_empty_pattern_keeps_what_has_a_value(self, found):
        assert found(*listing.conditions(FILTERS, {"name_pattern": ""})) == NAMES[:-1]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({"name": "etl"}, ["etl"]),
            ({"names": ["etl", "etz"]}, ["etl", "etz"]),
            ({"names": ["etl", "none"]}, ["etl", None]),
            ({"names": ["none"]}, [None]),
            ({"not_names": NAMES[1:-1]}, ["etl"]),
            ({"ids": [0, 0]}, ["etl"]),
            ({"ids": [0], "names": ["etz"]}, []),
        ],
    )
    def test_values_are_compared_to_the_letter(self, found, query, names):
        assert found(*listing.conditions(FILTERS, query)) == names

    def test_a_text_is_sought_in_json(self, found):
        assert found(listing.contains(C.conf)('"a": 3')) == ["a|b"]
        assert found(listing.contains(C.conf)("a%3")) == ["a|b"]


class TestPatterns:
    @pytest.mark.parametrize(
        ("term", "names"),
        [
            ("etl", ["etl", "ETL_old", "etl_new"]),
            ("ETL", ["etl", "ETL_old", "etl_new"]),
            ("t_", ["ETL_old", "etl_new", "etl", "etz"]),
            ("old|new", ["ETL_old", "etl_new"]),
            (" old | new ", ["ETL_old", "etl_new"]),
            ("|", NAMES[3:4]),
            ("||", []),
            ("~", NAMES[:-1]),
            ("nothing", []),
            ("'; DROP TABLE things; --", []),
        ],
    )
    def test_a_term_is_found_anywhere_in_any_case(self, found, term, names):
        assert sorted(found(listing.pattern(C.name)(term))) == sorted(names)

    def test_a_bar_may_be_a_bar(self, found):
        assert found(listing.pattern(C.name, alternatives=False)("a|b")) == ["a|b"]
        assert found(listing.prefix(C.name, alternatives=False)("a|b")) == ["a|b"]

    @pytest.mark.parametrize(
        ("term", "names"),
        [
            ("etl", ["etl", "etl_new"]),
            ("ETL", ["ETL_old"]),
            ("etl_", ["etl", "etl_new"]),  # what is neither letter nor digit at the end is dropped
            ("etl|ETL", ["etl", "ETL_old", "etl_new"]),
            ("x%", ["x_y"]),
            ("~", NAMES[:-1]),
            ("", NAMES[:-1]),
            ("__", NAMES[:-1]),
            ("Ü", ["Ünïcode"]),
        ],
    )
    def test_a_prefix_counts_its_case(self, found, term, names):
        assert found(listing.prefix(C.name)(term)) == names

    @pytest.mark.parametrize(
        ("term", "upper"),
        [
            ("etl", "etm"),
            ("az", "b"),
            ("a9", "b"),
            ("zz", None),
            ("a_", "b"),
            ("", None),
            ("\U0010ffff", None),
        ],
    )
    def test_a_prefix_is_a_range(self, term, upper):
        assert listing.prefix_upper_bound(term) == upper

    def test_every_name_with_the_prefix_lies_below_its_bound(self):
        for term in ("a", "az", "zzz", "Z", "9", "é", "a9z"):
            upper = listing.prefix_upper_bound(term)
            for rest in ("", "0", "z", "Z", "é", "_", "\U0001f600"):
                assert upper is None or term + rest < upper, (term, rest)


class TestRanges:
    @pytest.mark.parametrize(
        ("name", "count"), [("ended_gte", 6), ("ended_gt", 5), ("ended_lte", 3), ("ended_lt", 2)]
    )
    def test_a_bound_takes_its_own_value_or_not(self, found, name, count):
        assert len(found(listing.ranges("ended", C.ended)[name](DAY + timedelta(days=2)))) == count

    def test_what_has_not_ended_lies_after_every_past_bound(self, found):
        clauses = listing.ranges("ended", C.ended, open_ended=True)
        past, future = (
            DAY + timedelta(days=7),
            datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(days=999),
        )
        assert found(clauses["ended_gt"](past)) == [None]
        assert None not in found(clauses["ended_lt"](past))
        assert None in found(clauses["ended_lte"](future))


class TestPages:
    @pytest.mark.parametrize(("wish", "limit"), [(None, 7), (0, 0), (5, 5), (10, 10), (11, 10), (10**9, 10)])
    def test_a_page_is_no_larger_than_the_most(self, monkeypatch, wish, limit):
        monkeypatch.setenv("AIRFLOW__API__FALLBACK_PAGE_LIMIT", "7")
        monkeypatch.setenv("AIRFLOW__API__MAXIMUM_PAGE_LIMIT", "10")
        assert listing.page_limit(wish) == limit

    @pytest.fixture
    def session(self, metadata_database):
        from airflow.utils.session import create_session

        with create_session(scoped=False) as opened:
            yield opened

    def test_a_total_can_end_early(self, session):
        from airflow.models.dag import DagModel

        statement = select(DagModel.dag_id).order_by(DagModel.dag_id)
        whole = listing.total(session, statement)
        assert whole > 3
        assert listing.total(session, statement, at_most=3) == 3

    def test_the_last_page_tells_the_total_without_counting(self, session, monkeypatch):
        from airflow.models.dag import DagModel

        statement = select(DagModel.dag_id)
        whole = listing.total(session, statement)
        counted = []
        count = listing.total
        monkeypatch.setattr(listing, "total", lambda *given: counted.append(1) or count(*given))
        assert listing.page_total(session, statement, found=2, limit=5, offset=4) == 6
        assert listing.page_total(session, statement, found=0, limit=5, offset=0) == 0
        assert counted == []
        assert listing.page_total(session, statement, found=5, limit=5, offset=0) == whole
        assert listing.page_total(session, statement, found=0, limit=5, offset=99) == whole
        assert len(counted) == 2

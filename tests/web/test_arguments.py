"""Parameters: read once, typed, refused in one clean line."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from airflow_rest_api.services import errors
from airflow_rest_api.web import contract
from airflow_rest_api.web.arguments import ArgumentReader
from tests.web import small
from tests.web.small import parameter

PARAMETERS = [
    parameter("thing_id", "path", type="string", maxLength=20),
    parameter("number", type="integer", minimum=-5, maximum=1000),
    parameter("share", type="number"),
    parameter("moment", type="string", format="date-time"),
    parameter("day", type="string", format="date"),
    parameter("id", type="string", format="uuid"),
    parameter("yes", type="boolean", default=False),
    parameter("state", type="string", enum=["success", None], nullable=True),
    parameter("names", type="array", items={"type": "string", "maxLength": 10}, maxItems=3),
    parameter("numbers", type="array", items={"type": "integer"}, default=[7]),
    parameter("moments", type="array", items={"type": "string", "format": "date-time"}),
    {**parameter("X-Limit", "header", type="string", maxLength=5)},
    {**parameter("wanted", type="string"), "required": True},
]


@pytest.fixture(scope="module")
def reader():
    document = small.document({"/things/{thing_id}": {"get": small.operation("get", parameters=PARAMETERS)}})
    (operation,) = contract.operations(document)
    return ArgumentReader(document, operation, {"schemas": {}})


def read(reader, query="", path="x", headers=()):
    query = f"wanted=1&{query}" if query else "wanted=1"
    scope = {"path_params": {"thing_id": path}, "query_string": query.encode("latin-1"), "headers": headers}
    return reader.read({"type": "http", **scope})


def refusal(reader, *arguments, **options):
    with pytest.raises(errors.Malformed) as caught:
        read(reader, *arguments, **options)
    assert "\n" not in caught.value.detail
    assert len(caught.value.detail) < 300
    return caught.value


class TestValues:
    def test_every_argument_is_there_always(self, reader):
        assert read(reader) == {
            "thing_id": "x",
            "number": None,
            "share": None,
            "moment": None,
            "day": None,
            "id": None,
            "yes": False,
            "state": None,
            "names": None,
            "numbers": [7],
            "moments": None,
            "x_limit": None,
            "wanted": "1",
        }
        assert list(read(reader)) == reader.names or set(read(reader)) == set(reader.names)

    def test_a_default_is_nobodys_to_change(self, reader):
        read(reader)["numbers"].append(8)
        assert read(reader)["numbers"] == [7]

    @pytest.mark.parametrize(
        ("query", "name", "value"),
        [
            ("number=12", "number", 12),
            ("number=-5", "number", -5),
            ("number=%2B5", "number", 5),
            ("number=007", "number", 7),
            ("share=1.5e2", "share", 150.0),
            ("share=-1", "share", -1.0),
            ("yes=true", "yes", True),
            *(
                (f"yes={text}", "yes", True)
                for text in ("TRUE", "1", "yes", "Yes", "on", "ON", "t", "y", "Y")
            ),
            *(
                (f"yes={text}", "yes", False)
                for text in ("FALSE", "0", "no", "NO", "off", "Off", "f", "F", "n")
            ),
            ("names=a,b&names=c", "names", ["a,b", "c"]),
            ("names=", "names", [""]),
            ("numbers=1&numbers=2", "numbers", [1, 2]),
            ("state=success", "state", "success"),
            ("day=2026-01-31", "day", date(2026, 1, 31)),
            ("id=11111111-1111-1111-1111-111111111111", "id", "11111111-1111-1111-1111-111111111111"),
        ],
    )
    def test_a_value_has_the_type_of_the_contract(self, reader, query, name, value):
        found = read(reader, query)[name]
        assert (found, type(found)) == (value, type(value))

    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05%2B00:00",
            "2026-01-02T03:04:05%2B0000",  # as the official client writes it
            "2026-01-02T05:04:05%2B02:00",
            "2026-01-02t03:04:05z",
            "2026-01-02%2003:04:05Z",
            "2026-01-02T03:04:05.000000Z",
        ],
    )
    def test_a_moment_is_read_with_its_zone(self, reader, text):
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        assert read(reader, f"moment={text}")["moment"] == moment
        assert read(reader, f"moments={text}")["moments"] == [moment]
        assert read(reader, f"moment={text}")["moment"].utcoffset() in (timedelta(0), timedelta(hours=2))

    def test_a_header_is_an_argument_too(self, reader):
        assert read(reader, headers=[(b"x-limit", b"5")])["x_limit"] == "5"


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            *(
                ("number", text)
                for text in ("1_000", "%201", "1%20", "%0A1", "1.0", "1e3", "", "--1", "+", "０", "٣")
            ),
            *(
                ("number", text)
                for text in ("0x10", "1001", "-6", "9" * 30, "9" * 31, "9" * 5000, "none", "true")
            ),
            *(
                ("share", text)
                for text in ("1_0", "%201", "nan", "Infinity", "-inf", "1e9999", "١", "", ".5", "5.")
            ),
            *(("yes", text) for text in ("2", "", "tru", "yess", "null", "10", "%20true", "%00")),
            *(("moment", text) for text in ("2026-01-02", "2026-01-02T03:04:05", "now", "", "1767322800")),
            *(
                ("moment", text)
                for text in ("2026-01-02T03:04:05+00:00", "2026-13-01T00:00:00Z", "20260102T000000Z")
            ),
            *(("moment", text) for text in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00")),
            *(("moment", text) for text in ("2026-01-02T03:04:05%2B25:00", "２０２６-01-02T03:04:05Z")),
            *(
                ("day", text)
                for text in ("2026-02-30", "today", "2026-01-02T00:00:01Z", "2026-02-30T00:00:00Z")
            ),
            *(("id", text) for text in ("1", "1" * 32, "g" * 36)),
            *(("state", text) for text in ("failed", "", "None", "null")),
            *(("names", text) for text in ("%00", "a%00b", "x" * 11)),
            *(("numbers", text) for text in ("1,2", "a")),
        ],
    )
    def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_parameter(self, reader, name, text):
        fault = refusal(reader, f"{name}={text}".encode().decode("latin-1").replace("%", "%"))
        if fault.members:
            assert {error["parameter"] for error in fault.members["errors"]} == {name}
            assert {error["in"] for error in fault.members["errors"]} == {"query"}
            assert f"'{name}'" in fault.detail

    @pytest.mark.parametrize("name", ["number", "share", "yes", "moment", "state", "wanted"])
    def test_a_single_value_is_sent_once(self, reader, name):
        fault = refusal(reader, f"{name}=1&{name}=1")
        assert fault.members["errors"][0] == {
            "in": "query",
            "parameter": name,
            "detail": "Was sent more than once.",
        }

    def test_an_unknown_parameter_is_named(self, reader):
        fault = refusal(reader, "limt=5")
        assert fault.detail == "Unknown query parameter 'limt'."
        assert fault.members["errors"] == [
            {"in": "query", "parameter": "limt", "detail": "Unknown parameter."}
        ]

    def test_the_case_of_a_name_counts(self, reader):
        assert refusal(reader, "Number=5").detail == "Unknown query parameter 'Number'."

    @pytest.mark.parametrize("name", ["a%0Ab", "%1b[31m", "x" * 5000, "%E2%80%AE"])
    def test_a_hostile_name_is_told_on_one_short_line(self, reader, name):
        detail = refusal(reader, f"{name}=1").detail
        assert detail.isprintable()
        assert len(detail) < 140

    def test_every_fault_is_listed_and_the_first_is_told(self, reader):
        fault = refusal(reader, "number=x&yes=2&other=1", path="y" * 21, headers=[(b"x-limit", b"123456")])
        places = [(error["in"], error["parameter"]) for error in fault.members["errors"]]
        assert places == [
            ("path", "thing_id"),
            ("query", "other"),
            ("query", "number"),
            ("query", "yes"),
            ("header", "X-Limit"),
        ]
        assert fault.detail == "The path parameter 'thing_id': Must have at most 20 characters."

    def test_what_is_required_is_asked_for(self, reader):
        scope = {"path_params": {"thing_id": "x"}, "query_string": b"", "headers": []}
        with pytest.raises(
            errors.Malformed, match=r"The query parameter 'wanted': The parameter is required."
        ):
            reader.read(scope)

    def test_too_many_values_are_refused(self, reader):
        assert "at most 3 entries" in refusal(reader, "names=1&names=2&names=3&names=4").detail
        assert "too many" in refusal(reader, "names=1&" * 1001).detail

    def test_faults_without_end_are_cut(self, reader):
        assert (
            len(refusal(reader, "&".join(f"a{number}=1" for number in range(900))).members["errors"]) == 100
        )

    def test_nul_is_no_text_in_a_path(self, reader):
        assert refusal(reader, path="a\0b").detail.startswith("The path parameter 'thing_id':")


class TestNumbersInPaths:
    @pytest.mark.parametrize("text", ["x", "1.0", "9" * 5000, "１", "1_0", "%201", "-"])
    def test_a_number_in_a_path_is_refused_as_malformed(self, build, text):
        number = parameter("number", "path", type="integer", maximum=100)
        client = build(
            {"/numbers/{number}": {"get": small.operation("get_number", parameters=[number])}},
            {"get_number": lambda number: {"number": number}},
        )
        response = client.get(f"numbers/{text}")
        assert response.status_code == 400
        assert response.json()["errors"][0]["parameter"] == "number"
        assert client.get("numbers/7").json() == {"number": 7}

    def test_a_word_in_the_contract_comes_before_a_number(self, build):
        number = parameter("number", "path", type="integer")
        client = build(
            {
                "/numbers/{number}": {"parameters": [number], "get": small.operation("get_number")},
                "/numbers/first": {"get": small.operation("get_first")},
            },
            {"get_number": lambda number: {"number": number}, "get_first": lambda: {"number": "first"}},
        )
        assert client.get("numbers/first").json() == {"number": "first"}


class TestOverHttp:
    def test_an_encoded_slash_ends_no_id(self, rest):
        for path in ("/dags/a%2Fb", "/dags/a%2fb/details", "/dags/%2F", "/dags/..%2F..%2Fetc"):
            assert rest.get(path).status_code == 404, path

    @pytest.mark.parametrize(
        "dag_id",
        [
            "a%0Ab",
            "%0Aa",
            "a%0A",
            "a;b",
            "a:b",
            "%20",
            "a%09",
            "ä",
            "%E2%80%A8",
            "a%5Cb",
            "a%3Fb",
            "a%23b",
            "%25",
            "<a>",
        ],
    )
    def test_every_other_character_is_a_part_of_an_id(self, rest, dag_id):
        """What the frame routes, Flask routes a second time: both have to find the same operation."""
        for method, path in (("GET", ""), ("GET", "/details"), ("PATCH", ""), ("GET", "/tasks/a%0Ab")):
            body = {"json": {"is_paused": True}} if method == "PATCH" else {}
            answer = rest.request(method, f"/dags/{dag_id}{path}", **body)
            assert answer.status_code == 404
            assert answer.json()["type"].endswith("-not-found"), path

    @pytest.mark.usefixtures("restored_database")
    def test_a_run_whose_id_has_a_slash_is_found(self, rest, new_run, monkeypatch):
        monkeypatch.setenv("AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", "[a-z0-9/]+")
        run = new_run(run_id="nightly/2026", task_states={"first": "success"})
        path = f"/dags/{run.dag_id}/dagRuns/nightly%2F2026"
        assert rest.get(path).json()["dag_run_id"] == "nightly/2026"
        assert rest.get(f"{path}/taskInstances").json()["total_entries"] > 0
        assert rest.get(f"{path}/taskInstances/first").json()["dag_run_id"] == "nightly/2026"
        assert rest.patch(path, json={"note": "seen"}).json()["note"] == "seen"
        assert rest.get(f"/dags/{run.dag_id}/dagRuns/nightly/2026").status_code == 404

    def test_an_encoded_slash_in_a_variable_makes_no_operation_of_its_last_part(
        self, rest, restored_database
    ):
        for key in ("a/reveal", "a/b"):
            rest.post("/variables", json={"key": key, "value": key})
        assert rest.get("/variables/a%2Freveal").json()["value"] == "a/reveal"
        assert rest.get("/variables/a/reveal").json()["value"] == "a/reveal"
        answer = rest.post("/variables/a%2Freveal", json={"reason": "x"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH, PUT")
        for place in ("/variables/a%2Fb/reveal", "/variables/a/b/reveal"):
            # The operation is found, and switched off.
            assert rest.post(place, json={"reason": "x"}).status_code == 403

    @pytest.mark.parametrize(
        "word", ["xcomEntries", "links", "unknown", "xcomEntries/return_value", "links/tries"]
    )
    def test_an_unknown_word_after_a_task_is_an_unknown_path(self, rest, scenario, word):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = rest.request(method, f"{scenario.failed.path}/taskInstances/first/{word}")
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "not-found")
        assert rest.get(f"{scenario.failed.path}/taskInstances/first/1.5").status_code == 400

    def test_a_dot_is_no_way_up(self, rest):
        for path in ("/dags/%2E%2E/version", "/dags/%2E/details", "/%2E%2E/v1/version"):
            assert rest.get(path).status_code == 404

    @pytest.mark.parametrize("dag_id", ["%00", "etl%00", "a%00b"])
    def test_nul_in_an_id_is_refused(self, rest, dag_id):
        assert rest.get(f"/dags/{dag_id}").status_code == 400
        assert rest.patch(f"/dags/{dag_id}", json={"is_paused": True}).status_code == 400

    @pytest.mark.postgres
    def test_nul_is_refused_before_it_comes_to_postgresql(self, rest):
        assert rest.get("/dags", params={"dag_id_pattern": "\0"}).status_code == 400
        assert rest.get("/dags/%00").status_code == 400
        assert rest.post("/dags/manual/dagRuns", json={"note": "\0", "logical_date": None}).status_code == 400

    def test_a_moment_beyond_the_calendar_is_refused(self, rest):
        for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
            assert rest.get("/dags/~/dagRuns", params={"start_date_gte": text}).status_code == 400

    def test_a_comma_is_a_part_of_a_value(self, rest):
        assert rest.get("/dags", params={"tags": ["a,b"]}).json()["total_entries"] == 0

"""What all old calls have in common: the order of checks, where arguments come from, dialects, and safety."""

from __future__ import annotations

import pytest

from airflow_rest_api.legacy import catalogue
from airflow_rest_api.web import contract

DAG = "example_bash_operator"
DOCUMENT = contract.load("legacy.yaml")
KNOWN = catalogue.of(DOCUMENT, contract.operations(DOCUMENT))
CHANGES = [name for name, call in KNOWN.items() if call.changes and "GET" in call.operations]


def refused(answer):
    """Status and sentence of a refusal in either dialect."""
    body = answer.json()
    if "error" in body:
        assert list(body) == ["error"]
        return answer.status_code, body["error"]
    assert (body["status"], body["http_response_code"]) == ("ERROR", answer.status_code)
    return answer.status_code, body["output"]


@pytest.mark.parametrize("door", ["ebay", "clairvoyant"])
class TestDispatcher:
    def test_a_name_is_needed_and_has_to_be_known(self, old, door):
        assert refused(old(door, None)) == (400, "API should be provided")
        assert refused(old(door, "")) == (400, "API should be provided")
        assert refused(old(door, "no_such")) == (400, "API 'no_such' was not found")
        assert refused(old(door, " No_Such ")) == (400, "API 'no_such' was not found")
        assert refused(old(door, "version?api=version")) == (400, "API 'version?api=version' was not found")
        spaces = "API '' was not found" if door == "ebay" else "API should be provided"
        assert refused(old(door, " ")) == (400, spaces)

    def test_a_name_may_come_in_a_form_in_any_case_and_with_spaces(self, old, door):
        assert old(door, None, form={"api": " Version "}).json()["output"]
        assert old(door, "", form={"api": "version"}).json()["output"]
        assert old(door, "VERSION").json()["arguments"] == {"api": "VERSION"}

    def test_who_calls_is_asked_first(self, old, door):
        for answer in (
            old(door, None, role=None),
            old(door, "version", role=None),
            old(door, "x", role=None),
        ):
            assert answer.status_code == 401
            assert answer.json() == {"msg": "Missing Authorization Header"}
            assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_all_missing_arguments_are_told_at_once(self, old, door):
        assert refused(old(door, "pause")) == (400, "The argument(s) ['dag_id'] are required")
        assert refused(old(door, "pause", {"dag_id": ""})) == (400, "The argument(s) ['dag_id'] are required")

    def test_a_dag_has_to_be_there(self, old, door):
        assert refused(old(door, "pause", {"dag_id": " no_such "})) == (
            400,
            "The DAG ID 'no_such' does not exist",
        )
        assert refused(old(door, "pause", {"dag_id": "no_such"}, role="nobody"))[0] == 403

    def test_other_methods_are_not_served(self, old, door):
        for method in ("PUT", "DELETE", "PATCH"):
            answer = old(door, "version", method=method)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")

    def test_a_json_body_is_not_read(self, old, door):
        answer = old(door, None, method="POST", headers={"content-type": "application/json"})
        assert refused(answer) == (400, "API should be provided")

    def test_hostile_input_is_refused_in_the_dialect(self, old, door):
        assert refused(old(door, "pause", {"dag_id": "a\0b"}))[0] == 400
        assert refused(old(door, "version", {"x": "y" * 20_000}))[0] == 414
        assert refused(old(door, "version", form={"x": "y" * 5_000_000}))[0] == 413
        assert refused(old(door, "version", form={str(n): "" for n in range(1_001)}))[0] == 400
        broken = {"content-type": "multipart/form-data"}
        assert refused(old(door, "version", method="POST", headers=broken))[0] == 400

    def test_what_is_refused_before_a_command_would_have_run_is_an_error(self, old, door):
        broken = {"content-type": "multipart/form-data"}
        answer = old(door, "pause", {"dag_id": DAG}, method="POST", headers=broken)
        assert refused(answer)[0] == 400
        assert refused(old(door, "pause", files={"dag_id": (None, b"\xff")}))[0] == 400

    def test_a_form_that_names_its_call_is_as_large_as_its_sender_may_send(self, old, door):
        form = {"api": "version", "x": "y" * 5_000_000}
        assert refused(old(door, None, form=form))[0] == 413
        files = {"api": (None, "version"), "x": ("x.py", "y" * 5_000_000)}
        assert refused(old(door, None, files=files, role="viewer"))[0] == 413
        assert old(door, None, files=files).status_code == 200


@pytest.mark.usefixtures("restored_database")
class TestArguments:
    @pytest.mark.parametrize(
        ("query", "form"),
        [
            ({"dag_id": DAG}, None),
            ({}, {"dag_id": DAG}),
            ({"dag_id": ""}, {"dag_id": DAG}),
            ({"dag_id": DAG}, {"dag_id": "no_such"}),
            ({"dag_id": [DAG, "no_such"], "unknown": "1"}, None),
        ],
        ids=["query", "form", "empty-in-query", "query-first", "first-of-two"],
    )
    def test_the_query_counts_before_the_form(self, old, query, form):
        told = old("clairvoyant", "unpause", query, form=form).json()
        assert told["output"]["stdout"] == f"Dag: {DAG}, paused: False\n"
        assert told["post_arguments"] == (form or {})

    @pytest.mark.in_process
    def test_a_form_leaves_no_warnings_in_the_log(self, old, caplog):
        assert old(
            "clairvoyant", "dag_state", form={"dag_id": "etl", "execution_date": "2026-01-05"}
        ).is_success
        assert [entry.getMessage() for entry in caplog.records if entry.name.startswith("connexion")] == []

    def test_an_empty_one_in_the_query_tells_no_dialect(self, old):
        told = old("clairvoyant", "dag_state", {"dag_id": DAG, "run_id": ""}, form={"run_id": "no_such"})
        assert (told.status_code, told.json()) == (404, {"error": "dag run is not found"})

    def test_a_multipart_form_is_one_too(self, old):
        told = old("clairvoyant", "unpause", files={"dag_id": (None, DAG), "api": (None, "x")}).json()
        assert told["output"]["stdout"] == f"Dag: {DAG}, paused: False\n"
        assert told["post_arguments"] == {"api": "x", "dag_id": DAG}


class TestSafety:
    @pytest.mark.parametrize("name", CHANGES)
    def test_a_head_changes_nothing(self, old, name):
        answer = old("clairvoyant", name, {"dag_id": DAG}, method="HEAD")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")

    @pytest.mark.parametrize(
        "header",
        [
            {"Sec-Purpose": "prefetch;prerender"},
            {"Purpose": "prefetch"},
            {"X-Moz": "prefetch"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
        ids=["sec-purpose", "purpose", "x-moz", "cross-site", "same-site"],
    )
    def test_what_a_browser_does_by_itself_changes_nothing(self, rest, old, header):
        before = rest.get(f"/dags/{DAG}").json()["is_paused"]
        name = "unpause" if before else "pause"
        assert refused(old("clairvoyant", name, {"dag_id": DAG}, headers=header))[0] == 403
        assert rest.get(f"/dags/{DAG}").json()["is_paused"] is before
        assert old("clairvoyant", "version", headers=header).status_code == 200

    def test_a_cookie_is_no_credential(self, old, token):
        for name in ("_token", "session", "access_token_cookie"):
            cookie = {"Cookie": f"{name}={token('admin')}"}
            assert old("ebay", "version", role=None, headers=cookie).status_code == 401

    def test_a_head_of_a_read_is_answered_without_a_body(self, old):
        answer = old("ebay", "version", method="HEAD")
        assert (answer.status_code, answer.content) == (200, b"")


class TestDeprecation:
    @pytest.mark.parametrize("name", sorted(KNOWN))
    def test_every_old_call_names_the_operation_that_does_the_same(self, old, name):
        answer = old("clairvoyant", name, role="nobody", headers={"Sec-Purpose": "prefetch"})
        assert answer.headers["deprecation"].startswith("@")
        place = f"#/{tags()[KNOWN[name].successor]}/{KNOWN[name].successor}"
        assert answer.headers["link"] == f'</rest_api/v1/ui/{place}>; rel="successor-version"'

    def test_an_unknown_call_has_none(self, old):
        assert "link" not in old("ebay", "no_such").headers


def tags():
    return {operation.operation_id: operation.tag for operation in contract.operations(contract.load())}


@pytest.mark.in_process
class TestTraces:
    def test_each_caller_leaves_one_mark_a_day_for_a_name(self, rest, old):
        for role in ("op", "op", "op", "viewer"):
            old("clairvoyant", "rest_api_plugin_version", role=role)
        rows = rest.get("/eventLogs", params={"event": "legacy_call", "limit": 1000}).json()["event_logs"]
        owners = [row["owner"] for row in rows if '"api": "rest_api_plugin_version"' in row["extra"]]
        assert [owners.count(role) for role in ("op", "viewer")] == [1, 1]

    def test_calls_are_counted(self, rest, old):
        old("clairvoyant", "version")
        old("ebay", "no_such")
        text = rest.get("/metrics").text
        assert 'airflow_rest_api_legacy_calls_total{api="version",dialect="clairvoyant"}' in text
        assert 'airflow_rest_api_legacy_calls_total{api="none",dialect="ebay"}' in text

    def test_a_call_of_nobody_is_counted_by_its_name(self, rest, old):
        old("clairvoyant", "skip_task_instance", role=None)
        counted = 'airflow_rest_api_legacy_calls_total{api="skip_task_instance",dialect="clairvoyant"}'
        assert counted in rest.get("/metrics").text

    def test_the_event_log_names_what_was_sent(self, rest, old):
        old("ebay", "upload_file", files={"file": ("report.txt", b"x")}, headers={"Sec-Purpose": "prefetch"})
        row = rest.get("/eventLogs", params={"event": "upload_file", "order_by": "-id", "limit": 1}).json()
        assert '"file": "report.txt"' in row["event_logs"][0]["extra"]

    def test_the_event_log_names_what_was_deleted(self, rest, old):
        for name, arguments in (
            ("connections", {"delete": "on", "conn_id": "no_such"}),
            ("variables", {"delete": "no_such"}),
            ("pool", {"delete": "no_such"}),
        ):
            old("clairvoyant", name, arguments)
            row = rest.get("/eventLogs", params={"event": name, "order_by": "-id", "limit": 1}).json()
            assert '"no_such"' in row["event_logs"][0]["extra"], name

    @pytest.mark.usefixtures("restored_database")
    def test_a_change_is_audited_like_one_of_version_one(self, rest, old):
        old("clairvoyant", "unpause", {"dag_id": DAG})
        old("clairvoyant", "unpause", {"dag_id": DAG}, role="viewer")
        rows = rest.get("/eventLogs", params={"event": "unpause", "limit": 1000}).json()["event_logs"][-3:]
        told = [(row["owner"], row["dag_id"], '"phase": "intent"' in row["extra"]) for row in rows]
        assert told == [("admin", DAG, True), ("admin", DAG, False), ("viewer", DAG, False)]

"""Answers: what a handler returned, in the form that the contract promises."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta, timezone

import pytest

from tests.web import small
from tests.web.small import operation

STRICT = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "nullable": True}},
}


class TestJson:
    def test_moments_dates_and_ids_are_written_as_airflow_writes_them(self, build):
        value = {
            "utc": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "fraction": datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=timezone.utc),
            "zone": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            "naive": datetime(2026, 1, 1),
            "day": date(2026, 1, 1),
            "id": uuid.UUID(int=1),
            "none": None,
            "text": "ä",
        }
        response = build({"/a": {"get": operation("get_a")}}, {"get_a": lambda: value}).get("a")
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {
            "utc": "2026-01-01T00:00:00Z",
            "fraction": "2026-01-01T00:00:00.000005Z",
            "zone": "2026-01-01T00:00:00+02:00",
            "naive": "2026-01-01T00:00:00Z",
            "day": "2026-01-01",
            "id": "00000000-0000-0000-0000-000000000001",
            "none": None,
            "text": "ä",
        }
        assert "ä".encode() in response.content

    @pytest.mark.parametrize("broken", [{}, {"name": 1}, [], None, "text"])
    def test_an_answer_that_breaks_the_contract_is_a_fault_of_the_service(self, build, caplog, broken):
        client = build({"/a": {"get": operation("get_a", answer=STRICT)}}, {"get_a": lambda: broken})
        response = client.get("a")
        assert (response.status_code, response.json()["title"]) == (500, "Internal error")
        assert "get_a answers" in caplog.text

    def test_the_check_can_be_switched_off(self, build):
        paths = {"/a": {"get": operation("get_a", answer=STRICT)}}
        assert build(paths, {"get_a": small.empty}, validate_responses=False).get("a").json() == {}

    def test_what_may_be_null_may_be_null(self, build):
        client = build({"/a": {"get": operation("get_a", answer=STRICT)}}, {"get_a": lambda: {"name": None}})
        assert client.get("a").json() == {"name": None}

    def test_what_cannot_be_written_is_a_fault_of_the_service(self, build):
        client = build({"/a": {"get": operation("get_a")}}, {"get_a": lambda: {"a": object()}})
        assert client.get("a").status_code == 500

    def test_a_handler_of_the_real_contract_is_held_to_it(self, rest, monkeypatch):
        from airflow_rest_api.services import monitor

        monkeypatch.setattr(monitor, "get_health", lambda: {"metadatabase": "fine"})
        assert rest.get("/monitor/health").status_code == 500


class TestMediaTypes:
    @pytest.fixture
    def two(self, build):
        content = {kind: {"schema": {"type": "string"}} for kind in ("application/json", "text/plain")}
        answered = operation("get_a", responses={"200": {"description": "Done.", "content": content}})
        return build({"/a": {"get": answered}}, {"get_a": lambda media_type: f"as {media_type}"})

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("text/*", "text/plain"),
            ("text/plain", "text/plain"),
            ("text/plain;q=0.1, application/json", "application/json"),
            ("text/html, text/plain;q=0.5, */*;q=0.1", "text/plain"),
            ("", "application/json"),
        ],
    )
    def test_the_caller_chooses_among_several(self, two, accept, expected):
        headers = {} if accept is None else {"Accept": accept}
        response = two.get("a", headers=headers)
        assert response.headers["content-type"].split(";")[0] == expected
        assert f"as {expected}" in response.text

    def test_a_text_says_how_it_is_written(self, two):
        response = two.get("a", headers={"Accept": "text/plain"})
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.headers["content-length"] == str(len(response.content))

    def test_who_takes_none_of_them_is_refused(self, two):
        response = two.get("a", headers={"Accept": "image/png"})
        assert response.status_code == 406
        assert response.json()["detail"] == "Only application/json and text/plain can be produced."

    def test_one_media_type_is_no_choice(self, build):
        client = build({"/a": {"get": operation("get_a")}}, {"get_a": small.empty})
        assert client.get("a", headers={"Accept": "image/png"}).json() == {}

    def test_parts_are_streamed_in_their_media_type(self, build):
        answered = operation("get_a", answer={"type": "string"}, media_type="application/x-ndjson")
        client = build({"/a": {"get": answered}}, {"get_a": lambda: [b"{}\n", b"[]\n"]})
        response = client.get("a")
        assert (response.headers["content-type"], response.content) == ("application/x-ndjson", b"{}\n[]\n")

    def test_another_success_status_comes_from_the_contract(self, build):
        paths = {
            "/a": {
                "post": operation("make_a", status="201"),
                "delete": operation("drop_a", status="204", answer=None),
            }
        }
        client = build(paths, {"make_a": small.empty, "drop_a": lambda: None})
        assert (client.post("a").status_code, client.delete("a").status_code) == (201, 204)

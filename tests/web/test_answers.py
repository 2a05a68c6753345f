"""Answers: what a handler returned, in the form that the contract promises."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta, timezone

import pytest

from airflow_rest_api.services.files.downloads import Download, DownloadCutOff
from airflow_rest_api.services.states import Stated
from tests.web import small
from tests.web.small import Wire, operation, parameter

STRICT = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "nullable": True}},
}

FILE = {
    "/a": {
        "get": operation(
            "get_a",
            parameters=[parameter("If-None-Match", "header", type="string")],
            answer={"type": "string", "format": "binary"},
            media_type="application/octet-stream",
        )
    }
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

    @pytest.mark.invalid_responses
    @pytest.mark.parametrize("broken", [{}, {"name": 1}, [], None, "text"])
    def test_a_response_that_breaks_the_contract_is_sent_and_logged(self, build, caplog, broken):
        client = build({"/a": {"get": operation("get_a", answer=STRICT)}}, {"get_a": lambda: broken})
        response = client.get("a")
        assert (response.status_code, response.json()) == (200, broken)
        assert "The response of get_a breaks the contract: [(" in caplog.text

    def test_the_check_can_be_switched_off(self, build):
        paths = {"/a": {"get": operation("get_a", answer=STRICT)}}
        assert build(paths, {"get_a": small.empty}, validate_responses=False).get("a").json() == {}

    def test_what_may_be_null_may_be_null(self, build):
        client = build({"/a": {"get": operation("get_a", answer=STRICT)}}, {"get_a": lambda: {"name": None}})
        assert client.get("a").json() == {"name": None}

    @pytest.mark.invalid_responses
    @pytest.mark.parametrize(
        ("value", "expected"),
        [({"a": object(), "b": [10**30]}, {"a": None, "b": [10**30]}), ([object()], {}), (object(), {})],
    )
    def test_a_field_that_cannot_be_written_is_null(self, build, caplog, value, expected):
        client = build({"/a": {"get": operation("get_a")}}, {"get_a": lambda: value})
        response = client.get("a")
        assert (response.status_code, response.json()) == (200, expected)
        assert "The response of get_a cannot be written" in caplog.text

    @pytest.mark.invalid_responses
    @pytest.mark.in_process
    def test_a_response_of_the_real_contract_is_checked_and_counted(self, rest, monkeypatch):
        from airflow_rest_api.services import monitor

        monkeypatch.setattr(monitor, "get_health", lambda: {"metadatabase": "fine"})
        assert rest.get("/monitor/health").json() == {"metadatabase": "fine"}
        metric = 'airflow_rest_api_invalid_responses_total{operation="get_health"} '
        assert float(rest.get("/metrics").text.split(metric)[1].split()[0]) >= 1


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
            ("application/json; charset=utf-8", "application/json"),
            ("text/plain; charset=utf-8", "text/plain"),
            ("text/plain;format=flowed;q=0.9, application/json;q=0.8", "text/plain"),
            ("application/json;q=0.4;charset=utf-8, text/*;q=0.5", "text/plain"),
            ("application/json;q=0, */*", "text/plain"),
            ("text/plain;q=0.2, */*", "application/json"),
            ("APPLICATION/JSON;Charset=UTF-8", "application/json"),
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
        assert two.get("a", headers={"Accept": "application/json;q=0, text/*;q=0.0"}).status_code == 406

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


class TestDownloads:
    CONTENT = bytes(range(256)) * 5000

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "a.bin"
        path.write_bytes(self.CONTENT)
        return path

    @pytest.fixture
    def made(self):
        return []

    @pytest.fixture
    def get_a(self, path, made):
        def get_a():
            with path.open("rb") as file:
                made.append(Download.of(file, 'ä\r\n".bin'))
            return made[-1]

        return get_a

    def test_a_file_is_answered_to_the_byte(self, build, get_a, made):
        response = build(FILE, {"get_a": get_a}).get("a")
        assert response.content == self.CONTENT
        assert response.headers["content-length"] == str(len(self.CONTENT))
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4%0D%0A%22.bin"
        assert small.until(lambda: [download.file.closed for download in made] == [True])

    def test_an_empty_file_is_an_answer(self, build, get_a, path, made):
        path.write_bytes(b"")
        response = build(FILE, {"get_a": get_a}).get("a")
        assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")
        assert small.until(lambda: made[0].file.closed)

    def test_who_has_the_file_is_told_so(self, build, get_a, path, made):
        client = build(FILE, {"get_a": get_a})
        tag = client.get("a").headers["etag"]
        again = client.get("a", headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
        path.write_bytes(self.CONTENT[:-1])
        changed = client.get("a", headers={"If-None-Match": tag})
        assert (changed.status_code, changed.content) == (200, self.CONTENT[:-1])
        assert changed.headers["etag"] != tag
        assert small.until(lambda: [download.file.closed for download in made] == [True] * 3)

    def test_a_file_with_a_state_has_it_in_its_tag(self, build, get_a):
        client = build(FILE, {"get_a": lambda: Stated(get_a(), ("x",))})
        assert not client.get("a").headers["etag"].startswith('"0-')

    def test_a_head_is_answered_without_reading_on(self, build, get_a, made):
        client = build(FILE, {"get_a": get_a})
        got, head = client.get("a"), client.head("a")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "etag", "content-type", "content-disposition"):
            assert head.headers[name] == got.headers[name]
        assert small.until(lambda: [download.file.closed for download in made] == [True, True])

    def test_a_file_that_becomes_shorter_breaks_the_answer_off(
        self, monkeypatch, metadata_database, path, get_a, made
    ):
        def cut():
            download = get_a()
            path.write_bytes(b"x" * 100)
            return download

        app = small.application(monkeypatch, FILE, {"get_a": cut})
        with small.serving(app) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/a HTTP/1.1", "Host: test")
            with pytest.raises(EOFError):
                wire.answer()

    def test_a_file_that_becomes_longer_is_answered_as_it_was(self, path):
        with path.open("rb") as file:
            download = Download.of(file, "a")
        with path.open("ab") as file:
            file.write(b"more")
        assert b"".join(download) == self.CONTENT
        path.write_bytes(b"")
        with pytest.raises(DownloadCutOff):
            list(download)
        download.close()

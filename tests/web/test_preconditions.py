"""`ETag`, `If-None-Match` and `If-Match`: reading what has changed, and changing what was read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_rest_api.web import contract, preconditions
from tests.support import calls

DAG = "/dags/manual"


def tag_of(rest, path=DAG, **options):
    answer = rest.get(path, **options)
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


def pause(rest, if_match, is_paused=True):
    headers = {} if if_match is None else {"If-Match": if_match}
    return rest.patch(DAG, json={"is_paused": is_paused}, headers=headers)


@pytest.mark.usefixtures("restored_database")
class TestIfNoneMatch:
    @pytest.mark.parametrize(
        "path", [DAG, "/dags", f"{DAG}/tasks", f"{DAG}/details", "/dagSources/etl", "/eventLogs", "/version"]
    )
    def test_who_has_the_answer_gets_no_other(self, rest, path):
        tag = tag_of(rest, path)
        answer = rest.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in answer.headers

    def test_a_source_as_text_has_a_tag_of_its_own(self, rest):
        text = {"Accept": "text/plain"}
        tag = tag_of(rest, "/dagSources/etl", headers=text)
        assert tag != tag_of(rest, "/dagSources/etl")
        assert rest.get("/dagSources/etl", headers={**text, "If-None-Match": tag}).status_code == 304

    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a-b" , W/{}', "*"])
    def test_the_tag_may_be_weak_one_of_several_or_any(self, rest, form):
        headers = {"If-None-Match": form.format(tag_of(rest))}
        assert rest.get(DAG, headers=headers).status_code == 304

    @pytest.mark.parametrize("other", ['"other"', "no tag", '""', '"*"', ""])
    def test_another_tag_gets_the_answer(self, rest, other):
        assert rest.get(DAG, headers={"If-None-Match": other}).status_code == 200

    def test_a_change_of_what_is_answered_changes_the_tag(self, rest):
        before = tag_of(rest)
        pause(rest, None, is_paused=not rest.get(DAG).json()["is_paused"])
        assert rest.get(DAG, headers={"If-None-Match": before}).status_code == 200

    def test_a_head_has_the_tag_too(self, rest):
        tag = tag_of(rest)
        assert rest.request("HEAD", DAG).headers["etag"] == tag
        assert rest.request("HEAD", DAG, headers={"If-None-Match": tag}).status_code == 304

    def test_permission_is_asked_first(self, rest):
        headers = {"If-None-Match": "*"}
        assert rest.get(DAG, role="nobody", headers=headers).status_code == 403
        assert rest.get(DAG, role=None, headers=headers).status_code == 401
        assert rest.get("/dags/no_such_dag", headers=headers).status_code == 404


@pytest.mark.usefixtures("restored_database")
class TestIfMatch:
    def test_the_change_is_made_in_the_state_that_was_read(self, rest):
        answer = pause(rest, tag_of(rest))
        assert (answer.status_code, answer.json()["is_paused"]) == (200, True)
        assert answer.headers["etag"] == tag_of(rest)

    def test_in_another_state_nothing_is_changed(self, rest):
        pause(rest, None, is_paused=False)
        old = tag_of(rest)
        pause(rest, None, is_paused=True)
        answer = pause(rest, old, is_paused=False)
        assert answer.status_code == 412
        assert answer.json()["type"] == "urn:airflow-rest-api:problem:state-changed"
        assert rest.get(DAG).json()["is_paused"] is True

    def test_a_change_that_callers_do_not_make_is_none(self, rest, new_run):
        """Of the tag the part before the dash counts: a newer parse of the file is no reason to refuse."""
        state, _, _ = tag_of(rest).strip('"').partition("-")
        assert pause(rest, f'"{state}-other"').status_code == 200

    @pytest.mark.parametrize("form", ["*", '"x", {}', "W/{}"])
    def test_any_state_or_one_of_several_will_do(self, rest, form):
        assert pause(rest, form.format(tag_of(rest))).status_code == 200

    @pytest.mark.parametrize("other", ['"other"', "no tag", '"0-0"', '"*"'])
    def test_what_names_no_state_is_refused(self, rest, other):
        assert pause(rest, other).status_code == 412

    def test_the_states_of_two_dags_differ(self, rest):
        pause(rest, None, is_paused=False)
        rest.patch("/dags/etl", json={"is_paused": False})
        assert pause(rest, tag_of(rest, "/dags/etl")).status_code == 412

    @pytest.mark.parametrize("if_match", ["*", '"x"'])
    def test_what_is_missing_is_not_found(self, rest, if_match):
        answer = rest.patch("/dags/no_such_dag", json={"is_paused": True}, headers={"If-Match": if_match})
        assert answer.status_code == 404

    def test_two_headers_are_refused(self, rest, token):
        headers = [("If-Match", '"a"'), ("If-Match", '"b"'), ("Authorization", f"Bearer {token('admin')}")]
        assert (
            rest.http.patch(f"/rest_api/v1{DAG}", json={"is_paused": True}, headers=headers).status_code
            == 400
        )


def one_of_many(rest, changes=40):
    """Many bind a change to one state: one makes it."""
    pause(rest, None, is_paused=False)
    tag = tag_of(rest)
    with ThreadPoolExecutor(changes) as pool:
        answers = list(pool.map(lambda _: pause(rest, tag), range(changes)))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * (changes - 1)]


class TestManyAtOnce:
    def test_one_change_is_made_on_sqlite(self, rest, restored_database):
        one_of_many(rest)

    @pytest.mark.postgres
    def test_one_change_is_made_on_postgresql(self, rest):
        one_of_many(rest)

    def test_without_the_look_at_the_state_all_would_be_made(self, rest, restored_database, monkeypatch):
        monkeypatch.setattr(preconditions.Expected, "require", lambda *_: None)
        with pytest.raises(AssertionError):
            one_of_many(rest, 5)


# An operation of each named object that creates or replaces, with a body for it.
REPLACED = {
    "/variables/create-only": {"value": "1"},
    "/connections/create-only": {"conn_type": "http"},
    "/pools/create-only": {"slots": 1},
}
PATCHED = {
    "/variables/create-only": {"key": "create-only", "value": "2"},
    "/connections/create-only": {"connection_id": "create-only", "conn_type": "ftp"},
    "/pools/create-only": {"pool": "create-only", "slots": 2, "include_deferred": False},
    DAG: {"is_paused": True},
}
CREATE = {"If-None-Match": "*"}
DOCUMENT = contract.load("openapi.yaml")
CHANGES = [entry for entry in contract.operations(DOCUMENT) if entry.method in ("PUT", "PATCH", "DELETE")]


def create_only_at_once(rest, replicas=8):
    """Create an object by many concurrent calls: one creates it."""
    for number, (path, body) in enumerate(REPLACED.items()):
        with ThreadPoolExecutor(replicas) as pool:
            answers = list(
                pool.map(lambda _, at=path, to=body: rest.put(at, json=to, headers=CREATE), range(replicas))
            )
        found = sorted(answer.status_code for answer in answers)
        assert found == [200, *[412] * (replicas - 1)], number


@pytest.mark.usefixtures("restored_database")
class TestIfNoneMatchOfChanges:
    @pytest.mark.parametrize(("path", "body"), REPLACED.items())
    def test_a_star_creates_and_never_replaces(self, rest, path, body):
        made = rest.put(path, json=body, headers=CREATE)
        assert made.status_code == 200, made.text
        again = rest.put(path, json={**body, "description": "Another."}, headers=CREATE)
        assert (again.status_code, again.json()["type"].rpartition(":")[2]) == (412, "object-exists")
        assert rest.get(path).headers["etag"] == made.headers["etag"]
        # A star that must match contradicts one that must not.
        both = {"If-Match": "*", **CREATE}
        assert rest.put(path, json=body, headers=both).status_code == 412
        assert rest.put(f"{path}-2", json=body, headers=both).status_code == 412
        assert rest.put(path, json=body, role="viewer", headers=CREATE).status_code == 403

    @pytest.mark.parametrize(("path", "body"), PATCHED.items())
    def test_a_star_keeps_what_exists_from_other_changes(self, rest, path, body):
        rest.put(path, json=REPLACED.get(path))
        before = tag_of(rest, path)
        for method, sent in (("PATCH", body), ("DELETE", None)):
            answer = rest.request(method, path, json=sent, headers=CREATE)
            assert answer.status_code == 412, answer.text
        assert tag_of(rest, path) == before
        rest.delete(path)
        assert rest.patch(path, json=body, headers=CREATE).status_code == 404
        assert rest.delete(path, headers=CREATE).status_code == 404

    @pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.operation_id)
    def test_no_change_accepts_a_tag(self, rest, operation):
        call = calls.plainest(DOCUMENT, operation)
        for value in ('"a-b"', 'W/"a-b"', "a", "", '*, "a-b"'):
            headers = {"If-None-Match": value}
            answer = rest.request(operation.method, call.path, headers=headers, **call.options())
            # An operation that is switched off is forbidden whatever its arguments.
            if answer.status_code != 403 or not any("switch" in rule for rule in operation.access):
                assert answer.status_code == 400, value
                assert "If-None-Match" in answer.json()["detail"]

    def test_a_change_that_never_creates_accepts_no_star_without_if_match(self, rest, new_run):
        answer = rest.patch(new_run().path, json={"note": "a"}, headers=CREATE)
        assert answer.status_code == 400
        assert "does not support it" in answer.json()["detail"]

    def test_one_of_many_creates_on_sqlite(self, rest):
        create_only_at_once(rest)


class TestCreateOnlyOnPostgresql:
    @pytest.mark.postgres
    def test_one_of_many_creates(self, rest):
        create_only_at_once(rest)


class TestTags:
    def test_a_state_is_no_plain_hash(self):
        """Who knows the columns, a password among them, cannot tell from the tag that the guess is right."""
        from airflow_rest_api.web.preconditions import entity_tag

        tags = {entity_tag(lambda text, key=key: f"{key}{text}", ("a",), b"") for key in ("x", "y")}
        assert len(tags) == 2
        assert entity_tag(str, None, b"x").startswith('"0-')

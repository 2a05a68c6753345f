"""Old calls about versions and pausing, over HTTP."""

from __future__ import annotations

import pytest

DAG = "example_bash_operator"


class TestVersion:
    @pytest.mark.parametrize("door", ["ebay", "clairvoyant"])
    def test_it_is_in_the_envelope_of_the_old_plugin(self, rest, old, door):
        answer = old(door, "version")
        assert answer.status_code == 200
        told = answer.json()
        times = {name: told[name] for name in ("call_time", "response_time")}
        assert all(time.endswith("GMT") for time in times.values())
        assert told == {
            "arguments": {"api": "version"},
            "post_arguments": {},
            **times,
            "http_response_code": 200,
            "output": rest.get("/version").json()["version"],
            "status": "OK",
        }
        assert list(told) == sorted(told)

    def test_it_has_an_address_of_its_own(self, rest, token):
        headers = {"Authorization": f"Bearer {token('viewer')}"}
        answer = rest.http.get("/rest_api/api/version", headers=headers).json()
        assert (answer["status"], answer["arguments"]) == ("OK", {"api": "version"})


class TestRestApiPluginVersion:
    def test_it_is_the_last_release_of_the_plugin(self, old):
        assert old("clairvoyant", "rest_api_plugin_version").json()["output"] == "1.0.9"


@pytest.mark.usefixtures("restored_database")
class TestPause:
    def test_a_dag_is_paused_and_told_as_the_command_did(self, rest, old):
        told = old("clairvoyant", "pause", {"dag_id": DAG}).json()
        assert told["output"] == {"stderr": "", "stdin": "", "stdout": f"Dag: {DAG}, paused: True\n"}
        assert told["airflow_cmd"] == f"airflow pause {DAG}"
        assert rest.get(f"/dags/{DAG}").json()["is_paused"] is True

    def test_a_change_has_no_entity_tag(self, old):
        assert "etag" not in old("clairvoyant", "pause", {"dag_id": DAG}).headers
        assert "etag" in old("clairvoyant", "version").headers

    def test_what_has_no_meaning_any_more_is_named(self, old):
        told = old("clairvoyant", "pause", {"dag_id": DAG, "subdir": "/dags"}).json()
        assert told["airflow_cmd"] == f"airflow pause --subdir /dags {DAG}"
        assert (
            told["output"]["stderr"] == "The argument 'subdir' has no meaning on Airflow 3 and was ignored."
        )

    def test_who_may_not_is_refused_in_the_envelope(self, rest, old):
        before = rest.get(f"/dags/{DAG}").json()["is_paused"]
        answer = old("clairvoyant", "unpause" if before else "pause", {"dag_id": DAG}, role="viewer")
        assert (answer.status_code, answer.json()["status"]) == (403, "ERROR")
        assert "may not" in answer.json()["output"]
        assert rest.get(f"/dags/{DAG}").json()["is_paused"] is before


@pytest.mark.usefixtures("restored_database")
class TestUnpause:
    def test_a_paused_dag_runs_again(self, rest, old):
        assert rest.patch(f"/dags/{DAG}", json={"is_paused": True}).status_code == 200
        told = old("ebay", "unpause", form={"dag_id": DAG}).json()
        assert told["output"]["stdout"] == f"Dag: {DAG}, paused: False\n"
        assert rest.get(f"/dags/{DAG}").json()["is_paused"] is False

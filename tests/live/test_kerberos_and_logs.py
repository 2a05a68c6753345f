"""`kerberos` and `serve-logs`, started and stopped through HTTP, and seen alive by other means."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
from benchmark import processes

from tests.support import clients, component_servers, kdc
from tests.support.component_servers import ended, process_of

pytestmark = [pytest.mark.xdist_group("kerberos"), pytest.mark.timeout(180)]
LIFE_SECONDS, FREQUENCY_SECONDS = 20, 2


class Place(NamedTuple):
    """A service whose Airflow is secured with a realm of its own."""

    rest: clients.Client
    realm: kdc.Realm
    cache: Path
    home: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    kdc.require()
    folder, cache = tmp_path_factory.mktemp("realm"), tmp_path_factory.mktemp("tickets") / "cache"
    with (
        kdc.running(folder, f"{LIFE_SECONDS}s") as realm,
        component_servers.home(tmp_path_factory.mktemp("kerberos")) as home,
        component_servers.serving(
            "standalone",
            home,
            AIRFLOW__REST_API__COMPONENTS_ENABLED="kerberos,serve-logs",
            AIRFLOW__CORE__SECURITY="kerberos",
            AIRFLOW__KERBEROS__KEYTAB=str(realm.keytab),
            AIRFLOW__KERBEROS__CCACHE=str(cache),
            AIRFLOW__KERBEROS__REINIT_FREQUENCY=str(FREQUENCY_SECONDS),
            AIRFLOW__KERBEROS__INCLUDE_IP="False",
            KRB5_CONFIG=str(realm.configuration),
        ) as rest,
    ):
        yield Place(rest, realm, cache, home)


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_kerberos_holds_a_ticket_when_its_operation_ends_and_renews_it(place):
    told = place.rest.get("/components/kerberos").json()
    assert (told["may_start"], told["why_not"]) == (True, None)
    assert place.realm.end_of_ticket(place.cache) is None
    begun = ended(place.rest, "kerberos", "start", json={"options": {"principal": kdc.PRINCIPAL}})
    assert begun["state"] == "succeeded", begun
    assert begun["result"]["command"] == ["airflow", "kerberos", kdc.PRINCIPAL]
    first = place.realm.end_of_ticket(place.cache)
    assert first is not None

    # Longer than what a single round may add, which gets a ticket and renews it 1.5 seconds later.
    deadline = time.monotonic() + LIFE_SECONDS
    while (place.realm.end_of_ticket(place.cache) - first).total_seconds() < 2 * FREQUENCY_SECONDS:
        assert time.monotonic() < deadline, place.rest.get("/components/kerberos/log").text
        time.sleep(0.5)
    assert process_of(place.rest, "kerberos")["restarts"] == 0

    stopped = ended(place.rest, "kerberos", "stop")
    assert (stopped["state"], stopped["result"]["state"]) == ("succeeded", "exited"), stopped
    assert not lives(begun["result"]["pid"])


def test_kerberos_tells_why_it_got_no_ticket(place):
    stranger = {"principal": "stranger", "keytab": str(place.realm.keytab), "one_time": True}
    found = ended(
        place.rest, "kerberos", "start", params={"instance": "stranger"}, json={"options": stranger}
    )
    assert found["state"] == "failed", found
    assert "stranger@AIRFLOW.TEST" in found["log"]
    answer = place.rest.get("/components/kerberos/log", params={"instance": "stranger"})
    assert "stranger@AIRFLOW.TEST" in answer.text


@pytest.mark.parametrize("keytab", ["/etc/passwd", "{folder}/../passwd", "{folder}/nothing", "{folder}/link"])
def test_a_keytab_lies_beside_the_one_of_the_configuration(place, keytab):
    folder = place.realm.keytab.parent
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/passwd")
    body = {"options": {"keytab": keytab.format(folder=folder)}}
    answer = place.rest.post("/components/kerberos/start", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"].endswith(":component-option-rejected")


def test_a_log_of_a_task_is_served_to_who_has_airflows_token_and_to_nobody_else(place):
    from airflow.utils.log.file_task_handler import _fetch_logs_from_service

    name, port = "dag_id=a/run_id=b/task_id=c/attempt=1.log", processes.free_port()
    log = place.home / "logs" / name
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({"event": "said by a task"}) + "\n")
    begun = ended(place.rest, "serve-logs", "start", json={"options": {"port": port}})
    assert begun["state"] == "succeeded", begun
    assert begun["result"]["command"] == [
        "airflow_rest_api.log_server",
        "--host=127.0.0.1",
        f"--port={port}",
    ]

    url = f"http://127.0.0.1:{port}/log/"
    fetched = _fetch_logs_from_service(f"{url}{name}", name)
    assert (fetched.status_code, fetched.json()) == (200, {"event": "said by a task"})
    assert _fetch_logs_from_service(f"{url}{name}", "another.log").status_code == 403
    assert httpx.get(f"{url}{name}").status_code == 403
    listening = psutil.Process(begun["result"]["pid"]).net_connections("tcp")
    assert {one.laddr for one in listening if one.status == "LISTEN"} == {("127.0.0.1", port)}

    second = ended(
        place.rest, "serve-logs", "start", params={"instance": "second"}, json={"options": {"port": port}}
    )
    assert second["state"] == "failed", second
    assert "address already in use" in second["log"]
    stopped = ended(place.rest, "serve-logs", "stop")
    assert (stopped["state"], stopped["result"]["state"]) == ("succeeded", "exited"), stopped
    assert not lives(begun["result"]["pid"])
    with pytest.raises(httpx.TransportError):
        httpx.get(url)

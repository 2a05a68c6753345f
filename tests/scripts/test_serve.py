"""`scripts/serve`: two lives of one embedded Airflow, from a fresh home on, with all its processes."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from embedded.settings import Home, UnusableHomeError, Wishes, child_environment, prepare

SERVE = Path(__file__).parents[2] / "scripts" / "serve"
API = "/rest_api/v1"
EXAMPLE = "example_simplest_dag"
START_SECONDS = 120

SLEEPER = """
from airflow.sdk import dag, task

@dag(schedule=None)
def sleeper():
    @task.bash
    def sleep():
        return "sleep 98765"
    sleep()

sleeper()
"""

# Runs for so many seconds, and returns what tells one deployment from another.
DEPLOYED = """
from airflow.sdk import dag, task

@dag(schedule=None)
def deployed():
    @task
    def work():
        import time
        time.sleep({seconds})
        return "deployed {value}"
    work()

deployed()
"""

pytestmark = [pytest.mark.xdist_group("serve"), pytest.mark.timeout(240)]


@dataclass
class Life:
    """One start of `scripts/serve`."""

    process: subprocess.Popen[bytes]
    home: Path
    port: int
    output: Path
    ready_after: float = 0.0
    leftovers: list[psutil.Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def login(self) -> dict[str, str]:
        return dict(json.loads((self.home / "login.json").read_text()))

    def said(self) -> str:
        return self.output.read_text()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}{API}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def client(self) -> httpx.Client:
        """Log in with what the login file says."""
        login = self.login
        credentials = {"username": login["username"], "password": login["password"]}
        answer = httpx.post(f"{login['url']}{API}/security/login", json=credentials, timeout=30)
        answer.raise_for_status()
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=login["url"] + API, headers=bearer, timeout=30)

    def tree(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def find(self, words: str) -> list[psutil.Process]:
        return [process for process in self.tree() if words in command_line(process)]

    def stop(self, sign: signal.Signals) -> int:
        """Signal it as a terminal does, the whole foreground group; notes which processes outlived it."""
        tree = self.tree()
        os.killpg(self.process.pid, sign)
        status = self.process.wait(timeout=40)
        self.leftovers = [process for process in tree + at_home(self.home) if is_alive(process)]
        return status


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def at_home(home: Path) -> list[psutil.Process]:
    """Processes that work in the home folder, whoever started them."""
    return [process for process in psutil.process_iter() if works_in(process, home)]


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_for(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, what()
        time.sleep(0.25)
    return time.monotonic() - started


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    """The test run's environment without its Airflow and without coverage, which would slow every process."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "COV", "PYTEST"))
    }
    return {**ours, **settings}


def start(home: Path, port: int, output: Path, **settings: str) -> Life:
    with output.open("wb") as file:
        process = subprocess.Popen(
            [SERVE, "--port", str(port), "--home", home],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(**settings),
            start_new_session=True,
        )
    return Life(process, home, port, output)


def live(life: Life) -> Iterator[Life]:
    """Wait until it is ready, lend it, and end what a failed test left."""
    try:
        life.ready_after = wait_for(
            lambda: life.is_ready() or life.process.poll() is not None, START_SECONDS, life.said
        )
        assert life.process.poll() is None, life.said()
        yield life
    finally:
        if life.process.poll() is None:
            life.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def first_life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    place = tmp_path_factory.mktemp("serve")
    home = place / "a home"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "sleeper.py").write_text(SLEEPER)
    yield from live(start(home, free_port(), place / "first.txt"))


@pytest.fixture(scope="module")
def finished_run(first_life: Life) -> str:
    """What the README has a newcomer do: log in, list, unpause, trigger, poll to the end."""
    with first_life.client() as client:
        wait_for(lambda: client.get(f"/dags/{EXAMPLE}").status_code == 200, 90, lambda: f"no {EXAMPLE}")
        assert EXAMPLE in [dag["dag_id"] for dag in client.get("/dags", params={"limit": 200}).json()["dags"]]
        return run_to_success(client)


def post_dag(client: httpx.Client, source: str) -> httpx.Response:
    files = {"dag_file": ("deployed.py", source.encode())}
    return client.post("/deployments", files=files, data={"force": "true", "unpause": "true"})


def deploy(client: httpx.Client, source: str) -> dict[str, Any]:
    answer = post_dag(client, source).raise_for_status()
    path = f"/deployments/{answer.json()['deployment_id']}"
    found: dict[str, Any] = client.get(path, params={"wait": 60}, timeout=90).json()
    return found


def log_of(client: httpx.Client, dag_run_id: str) -> str:
    path = f"/dags/deployed/dagRuns/{dag_run_id}/taskInstances/work/logs/1"
    return client.get(path, params={"full_content": True}).text


def run_to_success(client: httpx.Client, dag_id: str = EXAMPLE) -> str:
    return success_of(client, dag_id, trigger(client, dag_id))


def success_of(client: httpx.Client, dag_id: str, dag_run_id: str) -> str:
    path = f"/dags/{dag_id}/dagRuns/{dag_run_id}"
    wait_for(
        lambda: client.get(path).json()["state"] in {"success", "failed"}, 90, lambda: client.get(path).text
    )
    assert client.get(path).json()["state"] == "success"
    return dag_run_id


def trigger(client: httpx.Client, dag_id: str) -> str:
    client.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
    answer = client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None})
    answer.raise_for_status()
    return str(answer.json()["dag_run_id"])


@pytest.fixture(scope="module")
def second_life(
    first_life: Life, finished_run: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    """The same home again, after the first life was ended by SIGTERM."""
    assert finished_run
    assert first_life.stop(signal.SIGTERM) == 0, first_life.said()
    output = tmp_path_factory.mktemp("serve") / "second.txt"
    yield from live(start(first_life.home, first_life.port, output, AIRFLOW__CORE__PARALLELISM="3"))


class TestFirstLife:
    def test_a_fresh_home_is_ready_in_time(self, first_life: Life) -> None:
        assert first_life.ready_after < START_SECONDS
        wait_for(lambda: "are ready" in first_life.said(), 10, first_life.said)

    def test_the_login_file_is_private_and_equal_to_what_is_printed(self, first_life: Life) -> None:
        file = first_life.home / "login.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert first_life.login.keys() == {"url", "username", "password"}
        assert first_life.login["url"] == first_life.url
        wait_for(lambda: "are ready" in first_life.said(), 10, first_life.said)
        assert f"{first_life.login['username']} / {first_life.login['password']}" in first_life.said()

    def test_nothing_secret_is_readable_by_others(self, first_life: Life) -> None:
        assert stat.S_IMODE(first_life.home.joinpath("airflow.cfg").stat().st_mode) == 0o600
        assert stat.S_IMODE(first_life.home.joinpath("secrets.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(first_life.home.joinpath("passwords.json").stat().st_mode) == 0o600

    def test_the_scheduler_runs_an_example_dag_to_success(self, finished_run: str) -> None:
        assert finished_run

    def test_the_commands_of_the_readme_do_what_they_say(self, first_life: Life, finished_run: str) -> None:
        said = said_by_readme(first_life)
        assert f'"dag_id":"{EXAMPLE}"' in said
        assert '"is_paused":false' in said
        assert said.endswith("success\n")

    def test_the_readmes_calls_over_a_bad_network_do_what_they_say(
        self, first_life: Life, finished_run: str
    ) -> None:
        said = said_by_readme(first_life, "Idempotency-Key:")
        preview, first, second, state, made, refused, running, left = said.splitlines()[-8:]
        assert "'held_back_by': []" in preview
        assert first.removeprefix("first: ") == second.removeprefix("second: ") != ""
        assert (state, made, refused, running, left) == ("success", "200", "412", "0", "204")

    def test_the_readmes_deployment_and_files_do_what_they_say(
        self, first_life: Life, finished_run: str, tmp_path: Path
    ) -> None:
        said = said_by_readme(first_life, "hello_world.py", "daily.csv", folder=tmp_path)
        valid, state, undone, _digest, total, *content, left = said.splitlines()[-8:]
        assert (valid, state, undone) == ("True", "live", "stored")
        assert (total, content, left) == ("1", ["day,runs", "5,12"], "204")
        assert not (first_life.home / "dags" / "hello_world.py").exists()

    def test_the_readmes_calls_about_runs_and_tasks_do_what_they_say(
        self, first_life: Life, finished_run: str
    ) -> None:
        said = said_by_readme(first_life, "runme_0")
        selection, last_line, ran, state, explanation, result = said.splitlines()[-6:]
        assert "'outcome': 'success'" in selection
        assert "event" in json.loads(last_line)
        assert (ran.startswith("manual__"), state) == (True, "succeeded")
        assert "causes" in explanation
        killed = ast.literal_eval(result)
        # How fast they are gone is tried in `tests/live`; here many other tests may run beside them.
        assert killed["killed"] > 0
        assert killed["gone"] + killed["still_alive"] == killed["killed"]

    def test_the_readmes_calls_about_backfills_do_what_they_say(
        self, first_life: Life, finished_run: str
    ) -> None:
        said = said_by_readme(first_life, "/backfills")
        runs, _progress, completed, resumed = said.splitlines()[-4:]
        assert runs.count("logical_date") == 5
        assert completed.startswith("20")
        assert "'total': 5" in resumed
        with first_life.client() as client:
            (left,) = client.get("/backfills", params={"active": True}).json()["backfills"]
            assert client.put(f"/backfills/{left['id']}/cancel").status_code == 200

    def test_the_readmes_calls_about_variables_and_connections_do_what_they_say(
        self, first_life: Life, finished_run: str, tmp_path: Path
    ) -> None:
        with first_life.client() as client:
            assert client.put("/variables/colour", json={"value": "green"}).status_code == 200
        said = said_by_readme(first_life, "report_archive", folder=tmp_path)
        stored, changed, source, deleted, password, host, unchanged = said.splitlines()[-7:]
        assert json.loads(stored) == {"table": "events", "password": "***"}
        assert json.loads(changed) == {"table": "events_2", "password": "***"}
        assert source == "database"
        assert "'success': ['etl/settings']" in deleted
        assert (password, host, unchanged) == ("***", "other.invalid", "1")

    def test_the_next_run_runs_what_was_deployed_and_a_broken_file_interrupts_nothing(
        self, first_life: Life, finished_run: str
    ) -> None:
        with first_life.client() as client:
            assert deploy(client, DEPLOYED.format(value="first", seconds=0))["state"] == "live"
            assert "deployed first" in log_of(client, run_to_success(client, "deployed"))
            assert deploy(client, DEPLOYED.format(value="second", seconds=8))["state"] == "live"
            dag_run_id = trigger(client, "deployed")
            broken = post_dag(client, DEPLOYED.format(value="third", seconds="("))
            assert (broken.status_code, broken.json()["errors"][0]["kind"]) == (422, "syntax")
            assert "deployed second" in log_of(client, success_of(client, "deployed", dag_run_id))
            # It is what is served still, and Airflow has never met a file that it could not import.
            assert "deployed second" in client.get("/dagSources/deployed").json()["content"]
            assert client.get("/importErrors").json()["total_entries"] == 0

    def test_a_second_start_on_the_same_home_is_refused(self, first_life: Life) -> None:
        refused = refusal(first_life.home, free_port())
        assert refused == f'scripts/serve: another scripts/serve is running on the home "{first_life.home}"\n'
        assert first_life.is_ready()

    def test_a_taken_port_is_refused_before_anything_starts(self, first_life: Life, tmp_path: Path) -> None:
        refused = refusal(tmp_path / "other", first_life.port)
        assert refused.startswith(f"scripts/serve: port {first_life.port} cannot be used (")
        assert refused.count("\n") == 1
        assert not (tmp_path / "other" / "airflow.cfg").exists()

    def test_a_killed_scheduler_is_started_again_and_said_so(self, first_life: Life) -> None:
        wait_for(lambda: len(first_life.find("airflow worker")) > 0, 60, lambda: "no worker")
        [scheduler] = first_life.find("/airflow scheduler")
        workers = scheduler.children()
        scheduler.kill()
        wait_for(lambda: "scheduler started again" in first_life.said(), 30, first_life.said)
        assert "scheduler ended (killed by SIGKILL)" in first_life.said()
        wait_for(lambda: not any(map(is_alive, workers)), 10, lambda: f"idle workers live on: {workers}")
        with first_life.client() as client:
            assert run_to_success(client)


class TestSecondLife:
    def test_sigterm_left_no_process_of_the_first_life(self, first_life: Life, second_life: Life) -> None:
        assert second_life.process.pid != first_life.process.pid
        assert first_life.leftovers == []
        assert first_life.said().endswith("stopped: no process is left\n")

    def test_password_and_runs_are_kept(self, finished_run: str, first_life: Life, second_life: Life) -> None:
        assert f"admin / {second_life.login['password']}" in first_life.said()
        with second_life.client() as client:
            assert client.get(f"/dags/{EXAMPLE}/dagRuns/{finished_run}").json()["state"] == "success"

    def test_the_environment_wins_over_the_settings_of_the_demo(self, second_life: Life) -> None:
        wait_for(lambda: len(second_life.find("airflow worker")) == 3, 60, lambda: str(second_life.tree()))

    def test_an_interrupt_leaves_no_process_though_a_task_runs(self, second_life: Life) -> None:
        with second_life.client() as client:
            wait_for(lambda: client.get("/dags/sleeper").status_code == 200, 90, lambda: "no DAG sleeper")
            trigger(client, "sleeper")
        wait_for(lambda: len(second_life.find("sleep 98765")) > 0, 60, lambda: str(second_life.tree()))
        assert second_life.stop(signal.SIGINT) == 0, second_life.said()
        assert second_life.leftovers == []


def said_by_readme(life: Life, *words: str, folder: Path | None = None) -> str:
    """What the README's first commands print, and those of the blocks with these words after them."""
    commands = readme_commands(life.home) + "".join(readme_block(word) for word in words)
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        env=environment(), capture_output=True, text=True, timeout=220, check=True, cwd=folder,
    )  # fmt: skip
    return done.stdout


def readme_block(word: str) -> str:
    """The one block of commands of the README in which the word stands."""
    readme = (SERVE.parents[1] / "README.md").read_text(encoding="utf-8")
    [block] = [part for part in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) if word in part]
    return str(block)


def readme_commands(home: Path) -> str:
    """The README's first login and first run, with this home's login file in place of the default one."""
    return readme_block("security/login").replace(
        "LOGIN=.airflow/login.json", f"LOGIN='{home / 'login.json'}'"
    )


def refusal(home: Path, port: int) -> str:
    """The one line with which a start is refused."""
    command = [SERVE, "--port", str(port), "--home", home]
    ended = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    return ended.stderr


class TestSettings:
    def test_what_the_environment_says_is_left_alone(self, tmp_path: Path) -> None:
        given = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "mine.args",
            "AIRFLOW__CORE__PARALLELISM": "2",
        }
        child = child_environment(Home(tmp_path), given)
        assert {name: child[name] for name in given} == given
        assert child["AIRFLOW_HOME"] == str(tmp_path)

    def test_another_database_gets_no_sqlite_arguments(self, tmp_path: Path) -> None:
        given = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://localhost/airflow"}
        assert not [name for name in child_environment(Home(tmp_path), given) if "CONNECT_ARGS" in name]

    def test_a_path_that_airflow_would_change_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnusableHomeError, match="100%"):
            prepare(Wishes(Home(tmp_path / "100%"), 8080, examples=False), {})

    def test_users_named_in_the_environment_get_kept_passwords(self, tmp_path: Path) -> None:
        wishes = Wishes(Home(tmp_path), 8080, examples=False)
        users = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:viewer,bob:admin"}
        login = prepare(wishes, users)
        assert login.username == "bob"
        assert prepare(wishes, users) == login

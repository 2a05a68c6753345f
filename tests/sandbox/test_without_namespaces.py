"""What a validated file can do where a machine refuses namespaces: nothing, or it is not executed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.sandbox import attacks, hostile, restricted
from tests.sandbox.conftest import written
from tests.sandbox.small_service import SECRET

USER = "daemon"
# As a kernel of version 5.13 has it, which knows neither truncation nor ports nor signals.
OLD_LANDLOCK = """
from airflow_rest_api.sandbox.child import landlock
landlock.version = lambda: 1
"""


class Service:
    """A small service that runs under restrictions."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.facts = json.loads(process.stdout.readline())

    def parsed(self, *folders: dict[str, str]) -> list[dict]:
        """Parse folders of files, one after the other."""
        names = [tempfile.mkdtemp(dir=self.folder, prefix="sent-") for _ in folders]
        for name, files in zip(names, folders, strict=True):
            Path(name).chmod(0o755)
            written(Path(name), {path: self.filled(text) for path, text in files.items()})
        self.process.stdin.write(json.dumps(names) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the service has ended"
        return json.loads(line)

    def filled(self, text: str) -> str:
        head = attacks.HEAD.format(pid=self.facts["pid"], port=self.facts["port"], folder=str(self.folder))
        return text.replace("{HEAD}", head)


@contextmanager
def running(
    *arguments: str, user: str | None = None, has_landlock: bool = True, packages: Path | None = None
) -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="small-service-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    if user:
        for place in (folder, folder / "tmp"):
            os.chown(place, pwd.getpwnam(user).pw_uid, -1)
    program = ["-m", "tests.sandbox.small_service", str(folder), *arguments]
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),
        "SECRET_OF_THE_SERVICE": SECRET,
        "AIRFLOW__CORE__FERNET_KEY": SECRET,
    }
    if packages:
        environment["PYTHONPATH"] = str(packages)
    try:
        with subprocess.Popen(
            restricted.command(*program, user=user, has_landlock=has_landlock),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=restricted.REPOSITORY,
        ) as process:
            yield Service(process, folder)
            process.stdin.close()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["this user", "another user", "old Landlock"])
def service(request, tmp_path_factory):
    """A service as this user, or as one without rights, also with the first version of Landlock."""
    is_other = request.param != "this user"
    if is_other and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    packages = None
    if request.param == "old Landlock":
        packages = tmp_path_factory.mktemp("old") / "site-packages"
        packages.mkdir(parents=True)
        for folder in (packages, *packages.parents):
            if (
                folder != Path("/tmp")
                and folder.owner() == "root"
                and str(folder).startswith(tempfile.gettempdir())
            ):
                folder.chmod(0o755)
        written(packages, {"sitecustomize.py": OLD_LANDLOCK})
    with running(user=USER if is_other else None, packages=packages) as found:
        if found.facts["strength"] == "weak":
            pytest.skip("this kernel has no Landlock")
        yield found


@pytest.fixture(scope="module")
def outcome(service):
    """The outcome of all attacks that can be made by one process."""
    files = {f"a{number:03}.py": "{HEAD}" + source for number, source in enumerate(attacks.TOGETHER.values())}
    (found,) = service.parsed(files)
    return found


@pytest.mark.parametrize("name", attacks.TOGETHER)
def test_an_attack_fails(outcome, name):
    assert outcome["sandbox"] == "partial"
    message = outcome["errors"].get(f"a{list(attacks.TOGETHER).index(name):03}.py")
    if name in ("a secret of the environment", "the secrets of Airflow's configuration"):
        assert message is None
    else:
        assert message is not None
        assert "reached" not in message


def test_nothing_of_the_service_has_changed(outcome):
    assert outcome["changed"] == {}


@pytest.mark.parametrize("name", attacks.ALONE)
def test_an_attack_leaves_the_service_alone(service, name):
    found, after = service.parsed({"dag.py": "{HEAD}" + attacks.ALONE[name]}, {"dag.py": hostile.GOOD})
    assert found["changed"] == {}
    assert after["dags"] == ["good"]
    if name in attacks.FLOODS:
        assert found["errors"]["dag.py"].startswith("Parsing wrote more than")
    assert list((service.folder / "tmp").glob("rest-api-cell-*")) == []


def left_behind():
    """The processes that attacks have left behind."""
    return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "left-behind"]


@restricted.needs_landlock
def test_a_process_ends_with_the_service():
    before = left_behind()
    with running() as service:
        sent = written(
            service.folder / "sent", {"dag.py": service.filled("{HEAD}" + attacks.DAEMON + "time.sleep(60)")}
        )
        service.process.stdin.write(json.dumps([str(sent)]) + "\n")
        service.process.stdin.flush()
        deadline = time.monotonic() + 60
        while not (found := set(left_behind()) - set(before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found
        service.process.kill()
        _, alive = psutil.wait_procs(found, timeout=30)
    assert alive == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up an identity")
@pytest.mark.parametrize("has_landlock", [pytest.param(True, marks=restricted.needs_landlock), False])
def test_libraries_read_their_files_in_a_folder_of_roots_own(tmp_path, has_landlock):
    tmp_path.chmod(0o700)
    packages = written(tmp_path / "site-packages", {"library/__init__.py": "", "library/data.txt": "text"})
    reading = (
        "import library, pathlib\ntext = pathlib.Path(library.__file__).with_name('data.txt').read_text()\n"
    )
    cron = "from airflow.sdk import DAG\ndag = DAG(text, schedule='0 5 * * *')\n"
    with running("weak", packages=packages, has_landlock=has_landlock) as service:
        (found,) = service.parsed({"dag.py": reading + cron})
    assert (found["dags"], found["errors"]) == (["text"], {})
    assert found["sandbox"] == ("partial" if has_landlock else "weak")


def test_without_landlock_nothing_is_executed_unless_it_is_allowed():
    source = "{HEAD}" + attacks.FILES["the root folder"]
    with running(has_landlock=False) as service:
        assert service.parsed({"dag.py": source}) == [{"is_too_weak": True}]
    with running("weak", has_landlock=False) as service:
        (found,) = service.parsed({"dag.py": source})
        assert "reached" in found["errors"]["dag.py"]

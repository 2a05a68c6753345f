"""What a validated file can do where a machine refuses namespaces: nothing, or it is not executed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
            written(Path(name), {path: self._filled(text) for path, text in files.items()})
        self.process.stdin.write(json.dumps(names) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the service has ended"
        return json.loads(line)

    def _filled(self, text: str) -> str:
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
    assert list((service.folder / "tmp").glob("rest-api-cell-*")) == []

"""What an installation brings: one importable name, the contract, the handlers, the entry points."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.environment import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_a_wheel_brings_exactly_one_top_level_name(wheel):
    tops = {Path(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"airflow_rest_api"}


def test_a_wheel_brings_the_contract_the_handlers_the_page_and_the_migrations(wheel):
    names = set(wheel.namelist())
    for folder, installed in (
        ("openapi", "airflow_rest_api/openapi"),
        ("handlers", "airflow_rest_api/handlers"),
    ):
        sources = {
            f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".py", ".yaml")
        }
        assert sources <= names
    assert {"airflow_rest_api/web/page/index.html", "airflow_rest_api/web/page/start.js"} <= names
    assert {"airflow_rest_api/storage/alembic.ini", "airflow_rest_api/py.typed"} <= names


def test_a_wheel_names_the_plugin_the_console_script_and_the_licence(wheel):
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(points).decode()
    assert "[airflow.plugins]\nairflow_rest_api = airflow_rest_api.plugin:RestApiPlugin" in text
    assert "[console_scripts]\nairflow-rest-api = airflow_rest_api.cli:main" in text
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())

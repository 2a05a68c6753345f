"""Local publication: a bundle's files change in one step each, and what is on its way is nobody's business."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from airflow_rest_api.services.deployments import local_publication
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.local_publication import BundleBusy, LocalPublication
from airflow_rest_api.services.files import confined, exchange_folders
from airflow_rest_api.services.files.disk_faults import DiskFull

OLD, NEW = Content.of_file(b"old = 1\n"), Content.of_file(b"new = 2\n")
FOLDER = Content.of_files({"etl.py": b"import lib\n", "lib/__init__.py": b""})
OTHER = Content.of_files({"etl.py": b"import other\n", "other.py": b""})


def publish(root, path, content, deployment_id="one", **options):
    publication = LocalPublication(root, **options)
    return publication.publish(path, content, deployment_id=deployment_id, author="admin", message="m")


def leftovers(root: Path) -> list[str]:
    """Whatever of the service's own is left in a bundle beside what belongs there."""
    shutil.rmtree(root / ".rest_api" / "aside", ignore_errors=True)  # what others may still read
    own = {root / ".rest_api" / name for name in ("lock", ".airflowignore", "staging", "aside")}
    found = [path for path in root.rglob("*") if ".rest_api" in str(path.relative_to(root))]
    return [str(path) for path in found if path not in own and path != root / ".rest_api"]


@pytest.mark.parametrize("path", ["etl.py", "team/deep/etl.py"])
@pytest.mark.parametrize("before", [None, OLD])
def test_a_file_is_there_as_a_whole(tmp_path, path, before):
    if before is not None:
        publish(tmp_path, path, before)
    assert publish(tmp_path, path, NEW) is None
    assert (tmp_path / path).read_bytes() == NEW.data
    assert (tmp_path / path).stat().st_mode & 0o777 == 0o644
    assert LocalPublication(tmp_path).read(path) == NEW
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_is_exchanged_for_another(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(exchange_folders, "_renameat2", lambda: None)
    publish(tmp_path, "pack/etl", FOLDER)
    assert LocalPublication(tmp_path).read("pack/etl") == FOLDER
    publish(tmp_path, "pack/etl", OTHER)
    assert LocalPublication(tmp_path).read("pack/etl") == OTHER
    assert not (tmp_path / "pack/etl/lib").exists()
    assert leftovers(tmp_path) == []


def test_the_folder_that_a_reader_has_open_is_never_half_of_each(tmp_path):
    """While two folders take turns, whoever opens the place finds all of one of them."""
    publish(tmp_path, "etl", FOLDER)
    stopping, seen = threading.Event(), []

    def look():
        while not stopping.is_set():
            seen.append(tuple(sorted(path.name for path in (tmp_path / "etl").iterdir())))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(30):
        publish(tmp_path, "etl", OTHER if number % 2 else FOLDER, str(number))
    stopping.set()
    reader.join()
    assert set(seen) <= {("etl.py", "lib"), ("etl.py", "other.py")}
    assert len(seen) > 30


@pytest.mark.parametrize(("path", "content"), [("etl.py", OLD), ("etl", FOLDER)])
def test_what_is_removed_is_gone(tmp_path, path, content):
    publish(tmp_path, path, content)
    publish(tmp_path, path, None)
    assert LocalPublication(tmp_path).read(path) is None
    publish(tmp_path, path, None)
    assert leftovers(tmp_path) == []


def test_nothing_leads_out_of_the_bundle(tmp_path):
    root, outside = tmp_path / "bundle", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "etl.py").symlink_to(outside / "file.py")
    for path in ("link/etl.py", "link/pack"):
        with pytest.raises(confined.PathBlocked):
            publish(root, path, FOLDER if path.endswith("pack") else NEW)
    for path in ("../x.py", "/x.py", ".rest_api/x.py"):
        with pytest.raises(confined.BadPath):
            publish(root, path, NEW)
    with pytest.raises(confined.PathBlocked):
        publish(root, "etl.py", NEW)
    assert list(outside.iterdir()) == []


def test_a_file_does_not_take_the_place_of_a_folder_nor_a_folder_that_of_a_file(tmp_path):
    publish(tmp_path, "pack", FOLDER)
    with pytest.raises(confined.PathBlocked):
        publish(tmp_path, "pack", NEW)
    publish(tmp_path, "etl.py", OLD)
    with pytest.raises(confined.PathBlocked):
        publish(tmp_path, "etl.py", FOLDER)
    assert LocalPublication(tmp_path).read("pack") == FOLDER
    assert LocalPublication(tmp_path).read("etl.py") == OLD
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("path", "old", "new"), [("etl.py", OLD, NEW), ("etl", FOLDER, OTHER)])
def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch, path, old, new):
    publish(tmp_path, path, old)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            publish(tmp_path, path, new)
    assert LocalPublication(tmp_path).read(path) == old
    assert leftovers(tmp_path) == []


def test_who_says_no_in_the_last_moment_is_heard(tmp_path):
    publish(tmp_path, "etl.py", OLD)

    def refuse():
        raise KeyError

    with pytest.raises(KeyError):
        publish(tmp_path, "etl.py", NEW, verify=refuse)
    assert LocalPublication(tmp_path).read("etl.py") == OLD


def test_processes_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(local_publication, "_LOCK_SECONDS", 0.2)

    def meanwhile():
        with pytest.raises(BundleBusy):
            publish(tmp_path, "etl.py", NEW)

    publish(tmp_path, "etl.py", OLD, verify=meanwhile)
    assert LocalPublication(tmp_path).read("etl.py") == OLD


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_airflow_finds_nothing_of_what_is_on_its_way(tmp_path):
    from airflow._shared.module_loading import find_path_from_directory

    publish(tmp_path, "etl.py", OLD)
    (tmp_path / ".rest_api" / "staging" / "one").mkdir()
    (tmp_path / ".rest_api" / "staging" / "one" / "dag.py").write_text("import airflow  # dag\n")
    found = find_path_from_directory(tmp_path, ".airflowignore", "glob")
    assert [str(Path(path).relative_to(tmp_path)) for path in found if path.endswith(".py")] == ["etl.py"]


def test_folders_that_were_replaced_are_swept_when_nobody_can_read_them_any_more(tmp_path):
    publish(tmp_path, "etl", FOLDER)
    publish(tmp_path, "etl", OTHER, "two")
    kept = tmp_path / ".rest_api" / "aside" / "two"
    assert Content.of_folder(kept) == FOLDER
    os.utime(kept, (1, 1))
    publish(tmp_path, "other.py", NEW, "three")
    assert not kept.exists()


class TestAfterADeath:
    def test_a_folder_that_was_moved_aside_comes_back(self, tmp_path):
        publish(tmp_path, "etl", FOLDER)
        (tmp_path / "etl").rename(tmp_path / ".rest_api" / "aside" / "two")
        (tmp_path / ".rest_api" / "staging" / "two").mkdir()
        LocalPublication(tmp_path).tidy("etl", "two")
        assert LocalPublication(tmp_path).read("etl") == FOLDER
        assert leftovers(tmp_path) == []

    def test_what_was_being_written_goes(self, tmp_path):
        publish(tmp_path, "team/etl.py", OLD)
        stale = tmp_path / "team" / ".rest_api-0123.tmp"
        stale.write_text("half")
        os.utime(stale, (1, 1))
        LocalPublication(tmp_path).tidy("team/etl.py", "two")
        assert not stale.exists()
        assert LocalPublication(tmp_path).is_published("team/etl.py", OLD, "one")
        assert not LocalPublication(tmp_path).is_published("team/etl.py", NEW, "one")
        assert not LocalPublication(tmp_path).is_published("team/etl.py", None, "one")

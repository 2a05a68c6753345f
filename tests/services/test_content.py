"""Content: files and folders as bytes that can be kept and compared."""

from __future__ import annotations

import os

import pytest

from airflow_rest_api.services.deployments.content import Content, ContentTooLarge

FILES = {"etl.py": b"import lib\n", "lib/__init__.py": b"", "lib/deep/data.txt": b"\x00\xff"}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "etl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "etl"


def test_a_file_is_its_bytes(tmp_path):
    content = Content.of_file(b"abc")
    assert (content.kind, content.data, content.files(), content.size) == ("file", b"abc", {"": b"abc"}, 3)
    assert content.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_comes_back_as_it_was(folder, tmp_path):
    content = Content.of_folder(folder)
    assert content.files() == FILES
    assert content.size == sum(map(len, FILES.values()))
    (tmp_path / "copy").mkdir()
    content.unpack(tmp_path / "copy")
    assert Content.of_folder(tmp_path / "copy") == content


def test_only_names_and_bytes_count(folder):
    before = Content.of_folder(folder)
    os.utime(folder / "etl.py", (1, 1))
    (folder / "etl.py").chmod(0o600)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "etl.cpython-311.pyc").write_bytes(b"x")
    (folder / "loose.pyc").write_bytes(b"x")
    (folder / "link.py").symlink_to("/etc/hostname")
    (folder / "linked").symlink_to("/etc")
    assert Content.of_folder(folder) == before


def test_a_byte_that_moves_from_a_name_to_its_content_is_another_content():
    assert Content.of_files({"ab": b"c"}).sha256 != Content.of_files({"a": b"bc"}).sha256
    assert Content.of_files({"a": b"1"}).sha256 != Content.of_file(b"1").sha256


def test_a_folder_that_is_too_large_is_not_read_to_the_end(folder):
    with pytest.raises(ContentTooLarge):
        Content.of_folder(folder, most_bytes=5)

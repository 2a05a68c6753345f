"""File names: which are taken, and why the others are not; nothing of them is ever made on the disk."""

from __future__ import annotations

import pytest

from tests.handlers.test_file import everything, kind, upload

# What a caller could mean, and no file system of all agrees about.
BAD = [
    *(
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a/.",
        "..\\a",
        "\\a",
        "a\\b",
        "C:a",
        "C:\\a",
        "a:$DATA",
        "file:a",
    ),
    *("a\nb", "a\rb", "a\tb", "a\x7fb", "a\x1b[31mb", "a\u202egpj.exe", "a\u200bb", "\ufeffa", "a\u2028b"),
    *(" a", "a ", "a.", "a/ /b", "a./b", ".../a", "\u3000a"),
    *(".rest_api", ".rest_api/a", ".REST_API/a", ".rest_api-x.tmp", "a/.Rest_Api/b"),
    *("CON", "aux.py", "NUL.txt", "a/prn.tar.gz", "Com1", "lpt9.d/a", "COM\u00b2", "nul .txt"),
    *("b" * 256, "\u00e4" * 128, "/".join(["\u00e4\u00e4"] * 220)),
]
EMPTY_SEGMENTS = ["/a", "//a", "a//b", "a/", "/", "//", "/etc/passwd"]
TAKES_OVER = [
    *("sitecustomize.py", "usercustomize.py", "airflow_local_settings.py", "webserver_config.py"),
    *("SiteCustomize.py", "sitecustomize.pyc", "sitecustomize.cpython-311-x86_64-linux-gnu.so"),
    *("a/sitecustomize/__init__.py", "a/b/airflow_local_settings.py", "airflow.cfg", "AIRFLOW.CFG"),
    *("a.pth", "a/b.PTH", "python311._pth", "pyvenv.cfg", ".airflowignore", "a/.airflowignore"),
    *("__pycache__/a.cpython-311.pyc", "a/__pycache__/b"),
]
PLAIN = [
    *("a", "a.py", "a/b/c.csv", ".hidden", "..a", "a..b", "-rf", "~", "$HOME", "a;b|c&d"),
    *("\u00fc/\u65e5\u672c.sql", "a b", "a'b\"c", "<script>", "{{ x }}", "console", "com10", "__init__.py"),
    *("\u2024\u2024", "a\u2215b", "\U0001f600", "b" * 255, "airflow.cfg.bak", "my_sitecustomize.py", "pth"),
]


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_a_path_that_could_mean_another_place_is_malformed(rest, root, path):
    assert kind(upload(rest, path)) == (400, "bad-path")
    for method in ("GET", "DELETE"):
        # An address with an end of line in it is none (404).
        assert rest.request(method, f"/files/files/{encoded(path)}").status_code in (400, 404)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("path", EMPTY_SEGMENTS)
def test_a_path_with_an_empty_segment_is_malformed_and_nobody_is_sent_elsewhere(rest, root, path):
    assert upload(rest, path).status_code == 400
    for method in ("GET", "DELETE"):
        for address in (path, encoded(path)):
            answer = rest.request(method, f"/files/files/{address}")
            assert answer.status_code == 400
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("path", TAKES_OVER)
def test_a_name_that_takes_python_or_airflow_over_is_refused(rest, root, path):
    refused = upload(rest, path)
    assert kind(refused) == (422, "name-denied")
    assert refused.json()["path"] == path
    assert kind(rest.delete(f"/files/files/{path}")) == (422, "name-denied")
    assert kind(rest.get(f"/files/files/{path}")) == (404, "path-not-found")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("path", PLAIN, ids=ascii)
def test_a_name_that_means_one_place_is_taken_as_it_is(rest, root, path):
    assert upload(rest, path, b"content").json()["path"] == path
    assert everything(root) == {path: b"content"}
    assert [entry["path"] for entry in rest.get("/files").json()["files"]] == [path]
    assert rest.get(f"/files/files/{encoded(path)}").content == b"content"
    assert rest.delete(f"/files/files/{encoded(path)}").status_code == 204
    assert everything(root) == {}


def encoded(path: str) -> str:
    """The path as every byte of it may stand in an address; clients take dots away before they send anything."""
    return "".join(f"%{byte:02X}" for byte in path.encode())

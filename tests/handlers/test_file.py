"""File: files below the upload roots, over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone

import pytest

from airflow_rest_api.security import access, powers
from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.files import file_listing
from tests.conftest import application, in_process
from tests.support import clients

CONTENT = b"day,runs\n5,12\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def upload(rest, path=None, content=CONTENT, *, name="daily.csv", role="admin", headers=None, **fields):
    texts = {"root": "files", **({"path": path} if path is not None else {}), **fields}
    form = {field: (None, value) for field, value in texts.items()} | {"file": (name, content)}
    return rest.post("/files", files=form, role=role, headers=headers)


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def everything(folder):
    """The files below a folder, and what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()
    }


class TestUploadFile:
    def test_a_file_is_written_and_told(self, rest, root):
        before = datetime.now(timezone.utc).timestamp()
        answer = upload(rest, "reports/2026/daily.csv")
        told = answer.json()
        assert before - 2 <= datetime.fromisoformat(told.pop("modified_at")).timestamp() <= before + 60
        assert told == {"root": "files", "path": "reports/2026/daily.csv", "size": 14, "sha256": DIGEST}
        assert answer.status_code == 201
        assert everything(root) == {"reports/2026/daily.csv": CONTENT}
        assert rest.http.get(answer.headers["Location"], headers=authorised(rest)).content == CONTENT

    @pytest.mark.parametrize(
        "name", ["daily.csv", "/tmp/daily.csv", "..\\..\\daily.csv", "a/../../daily.csv"]
    )
    def test_without_a_path_it_is_called_as_the_client_calls_it(self, rest, root, name):
        for path in (None, ""):
            assert upload(rest, path, name=name, force="true").json()["path"] == "daily.csv"
        assert everything(root) == {"daily.csv": CONTENT}

    def test_a_file_of_any_kind_and_size_comes_in_whole(self, rest, root):
        content = os.urandom(3_000_000)
        told = upload(rest, "models/churn.bin", content).json()
        assert (told["size"], told["sha256"]) == (3_000_000, hashlib.sha256(content).hexdigest())
        assert everything(root) == {"models/churn.bin": content}
        assert upload(rest, "empty", b"").json()["size"] == 0

    def test_a_file_is_replaced_only_by_force(self, rest, root):
        upload(rest, "a.csv")
        assert kind(upload(rest, "a.csv", b"other")) == (409, "file-exists")
        assert kind(upload(rest, "a.csv", b"other", force="false")) == (409, "file-exists")
        assert everything(root) == {"a.csv": CONTENT}
        assert upload(rest, "a.csv", b"other", force="true").status_code == 201
        assert everything(root) == {"a.csv": b"other"}

    def test_the_digest_is_compared_before_anything_is_stored(self, rest, root):
        refused = upload(rest, "new/a.csv", sha256="0" * 64)
        assert kind(refused) == (422, "digest-differs")
        assert refused.json()["found"] == DIGEST
        assert list(root.iterdir()) == []
        assert upload(rest, "a.csv", sha256=DIGEST.upper()).status_code == 201
        assert upload(rest, "b.csv", sha256="").status_code == 201
        assert upload(rest, "c.csv", sha256="abc").status_code == 400

    def test_a_root_that_does_not_exist_is_named_and_no_path_of_this_machine(self, rest, root, home):
        refused = upload(rest, "a.csv", root="nowhere")
        assert kind(refused) == (404, "root-not-found")
        assert refused.json()["root"] == "nowhere"
        assert str(home) not in refused.text

    @pytest.mark.parametrize("missing", ["file", "root"])
    def test_what_is_missing_is_named(self, rest, root, missing):
        form = {"file": ("a.csv", CONTENT), "root": (None, "files")}
        form.pop(missing)
        answer = rest.post("/files", files=form)
        assert answer.status_code == 400
        assert missing in str(answer.json()["errors"])

    def test_a_folder_or_a_link_in_the_way_is_told(self, rest, root, tmp_path):
        (root / "folder").mkdir()
        (root / "link").symlink_to(tmp_path)
        upload(rest, "plain")
        for path in ("folder", "link", "link/inside", "plain/inside"):
            assert kind(upload(rest, path, force="true")) == (409, "path-blocked")
        assert list(tmp_path.iterdir()) == []

    def test_a_form_that_is_cut_off_leaves_nothing(self, rest, root):
        body = b'--b\r\nContent-Disposition: form-data; name="root"\r\n\r\nfiles\r\n'
        body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + CONTENT
        kinds = {"Content-Type": "multipart/form-data; boundary=b"}
        for length in range(0, len(body), 40):
            assert rest.post("/files", content=body[:length], headers=kinds).status_code == 400
        assert rest.post("/files", content=body, headers=kinds).status_code == 400
        assert list(root.iterdir()) == []
        assert rest.post("/files", content=body + b"\r\n--b--\r\n", headers=kinds).status_code == 201

    def test_of_two_at_once_one_writes(self, rest, root):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: upload(rest, "new/one", b"%d" % n * 100_000), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        (content,) = everything(root).values()
        assert content == content[:1] * 100_000

    def test_a_repetition_with_the_same_key_gets_the_first_answer(self, rest, root):
        key = {"Idempotency-Key": "an-upload"}
        first, second = (upload(rest, "a.csv", headers=key) for _ in range(2))
        assert first.content == second.content
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.headers["Location"] == first.headers["Location"]
        assert kind(upload(rest, "a.csv", b"other", headers=key)) == (422, "key-reused")

    @pytest.mark.in_process
    def test_a_call_whose_process_died_behind_its_effect_is_no_conflict(self, rest, root, monkeypatch):
        def die(*_):
            raise RuntimeError("dead")

        with monkeypatch.context() as dying:
            dying.setattr(retries, "keep", die)
            assert upload(rest, "a.csv", headers={"Idempotency-Key": "a-late-death"}).status_code == 500
        inode = (root / "a.csv").stat().st_ino
        monkeypatch.setattr(retries, "_now", lambda: datetime.now(timezone.utc) + 2 * retries.LEASE)
        answer = upload(rest, "a.csv", headers={"Idempotency-Key": "a-late-death"})
        assert (answer.status_code, answer.json()["sha256"]) == (201, DIGEST)
        assert (root / "a.csv").stat().st_ino == inode

    def test_the_audit_tells_where(self, rest, root):
        upload(rest, "audited.csv")
        query = {"event": "upload_file", "order_by": "-id", "limit": 2}
        rows = [json.loads(row["extra"]) for row in rest.get("/eventLogs", params=query).json()["event_logs"]]
        assert [(row["phase"], row["root"], row["path"]) for row in rows] == [
            ("outcome", "files", "audited.csv"),
            ("intent", "files", "audited.csv"),
        ]

    def test_a_rest_that_a_dead_writer_left_is_removed(self, rest, root):
        rest_of_it = root / ".rest_api-0.tmp"
        rest_of_it.write_text("half")
        upload(rest, "a.csv")
        assert rest_of_it.exists()
        os.utime(rest_of_it, (1, 1))
        upload(rest, "b.csv")
        assert not rest_of_it.exists()


class TestGetFiles:
    def test_files_are_listed_by_root_and_path(self, rest, root):
        for path in ("b", "a/z", "a/b/c", "a.csv"):
            upload(rest, path)
        answer = rest.get("/files", params={"root": "files"}).json()
        assert [entry["path"] for entry in answer["files"]] == ["a/b/c", "a/z", "a.csv", "b"]
        entry = answer["files"][0]
        assert {**entry, "modified_at": ""} == {
            "root": "files",
            "path": "a/b/c",
            "size": 14,
            "sha256": None,
            "modified_at": "",
        }
        assert (answer["total_entries"], answer["is_complete"]) == (4, True)
        assert rest.get("/files").json() == answer

    def test_a_page_and_a_prefix(self, rest, root):
        for path in ("day/1", "day/2", "day/3", "days", "other"):
            upload(rest, path)

        def paths(**query):
            answer = rest.get("/files", params=query).json()
            return [entry["path"] for entry in answer["files"]], answer["total_entries"]

        assert paths(limit=2, offset=1) == (["day/2", "day/3"], 5)
        assert paths(prefix="day") == (["day/1", "day/2", "day/3", "days"], 4)
        assert paths(prefix="day/") == (["day/1", "day/2", "day/3"], 3)
        assert paths(prefix="day/2") == (["day/2"], 1)
        assert paths(prefix="absent/") == ([], 0)
        assert paths(prefix="other/") == ([], 0)
        assert paths(limit=0) == ([], 5)

    @pytest.mark.parametrize("prefix", ["../", "/etc/", "a//b", "a/../../b"])
    def test_a_prefix_that_leads_out_is_refused(self, rest, root, prefix):
        assert kind(rest.get("/files", params={"prefix": prefix})) == (400, "bad-path")

    def test_what_is_no_plain_file_or_is_on_its_way_is_not_listed(self, rest, root, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (root / "link").symlink_to(tmp_path)
        (root / "file").symlink_to(tmp_path / "secret")
        os.mkfifo(root / "pipe")
        (root / ".rest_api-1.tmp").write_text("half")
        (root / ".rest_api").mkdir()
        (root / ".rest_api" / "inside").write_text("ours")
        (root / "new\nline").write_text("nobody can ask for it")
        os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT))
        answer = rest.get("/files").json()
        assert (answer["files"], answer["total_entries"], answer["is_complete"]) == ([], 0, True)

    def test_a_root_that_does_not_exist_is_named(self, rest, root):
        assert kind(rest.get("/files", params={"root": "nowhere"})) == (404, "root-not-found")

    @pytest.mark.in_process
    def test_a_disk_without_end_is_not_walked_to_the_end(self, rest, root, monkeypatch):
        monkeypatch.setattr(
            file_listing.Walk, "__init__", lambda self: vars(self).update(left=7, is_complete=True)
        )
        for number in range(5):
            upload(rest, f"a/{number}")
            upload(rest, f"b/{number}")
        answer = rest.get("/files").json()
        assert answer["is_complete"] is False
        assert answer["total_entries"] == 5
        assert rest.get("/files", params={"prefix": "b/"}).json()["is_complete"] is True


class TestGetFile:
    def test_a_file_comes_as_it_is(self, rest, root):
        upload(rest, "a b/ü.csv")
        # Airflow's API server compresses what it may, and tells no length then.
        plain = {"Accept-Encoding": "identity"}
        answer = rest.get("/files/files/a%20b/%C3%BC.csv", headers=plain)
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == "14"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.csv"
        assert rest.get("/files/files/a%20b%2F%C3%BC.csv").content == CONTENT
        head = rest.request("HEAD", "/files/files/a%20b/%C3%BC.csv", headers=plain)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "14")

    def test_who_has_it_is_told_so_until_it_changes(self, rest, root):
        upload(rest, "a.csv")
        tag = rest.get("/files/files/a.csv").headers["etag"]
        again = rest.get("/files/files/a.csv", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        upload(rest, "a.csv", b"day,runs\n5,13\n", force="true")
        changed = rest.get("/files/files/a.csv", headers={"If-None-Match": tag})
        assert (changed.status_code, changed.content) == (200, b"day,runs\n5,13\n")

    def test_a_reader_has_the_old_file_or_the_new_one(self, rest, root):
        contents = {bytes([letter]) * 700_000 for letter in b"ab"}
        upload(rest, "swapped", min(contents))
        done = threading.Event()

        def replace():
            while not done.is_set():
                for content in contents:
                    upload(rest, "swapped", content, force="true")

        writer = threading.Thread(target=replace)
        writer.start()
        try:
            read = {rest.get("/files/files/swapped").content for _ in range(15)}
        finally:
            done.set()
            writer.join()
        assert read <= contents

    def test_what_is_not_there_is_not_found(self, rest, root, home):
        (root / "folder").mkdir()
        for path, status, problem in [
            ("files/absent", 404, "path-not-found"),
            ("files/folder/absent", 404, "path-not-found"),
            ("nowhere/a", 404, "root-not-found"),
            ("files/folder", 409, "path-blocked"),
            ("files/folder/", 400, "malformed"),
            ("files//folder", 400, "malformed"),
            ("files/folder//inside", 400, "malformed"),
            ("files/%2e%2e/airflow.cfg", 400, "bad-path"),
        ]:
            for method in ("GET", "DELETE"):
                refused = rest.request(method, f"/files/{path}")
                assert kind(refused) == (status, problem), path
                assert str(home) not in refused.text

    def test_a_link_is_not_followed(self, rest, root, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (root / "file").symlink_to(tmp_path / "secret")
        (root / "folder").symlink_to(tmp_path)
        for path in ("file", "folder/secret"):
            assert kind(rest.get(f"/files/files/{path}")) == (409, "path-blocked")


class TestDeleteFile:
    def test_a_file_goes_once(self, rest, root):
        upload(rest, "a/b.csv")
        first, second = (rest.delete("/files/files/a/b.csv") for _ in range(2))
        assert (first.status_code, first.content) == (204, b"")
        assert kind(second) == (404, "path-not-found")
        assert (root / "a").is_dir()

    def test_a_link_stays_and_so_does_what_it_leads_to(self, rest, root, tmp_path):
        (tmp_path / "kept").write_text("kept")
        (root / "file").symlink_to(tmp_path / "kept")
        assert kind(rest.delete("/files/files/file")) == (409, "path-blocked")
        assert (root / "file").read_text() == "kept"


class TestWhoMay:
    @pytest.mark.parametrize("role", ["viewer", "user", "op"])
    def test_files_are_for_those_with_the_power(self, rest, root, role):
        upload(rest, "a.csv")
        answers = [
            upload(rest, "b.csv", role=role),
            rest.get("/files", role=role),
            rest.get("/files/files/a.csv", role=role),
            rest.delete("/files/files/a.csv", role=role),
        ]
        assert {kind(answer) for answer in answers} == {(403, "power-missing")}
        assert everything(root) == {"a.csv": CONTENT}

    @pytest.mark.in_process
    def test_without_a_root_they_are_switched_off(self, root, token, monkeypatch):
        with served(monkeypatch, token, UPLOAD_ROOTS="") as rest:
            for answer in (upload(rest, "a"), rest.get("/files"), rest.get("/files/files/a")):
                assert (*kind(answer), answer.json()["switch"]) == (403, "switch-off", "upload_roots")


@pytest.mark.in_process
class TestPlacesOfCode:
    """Below a DAG bundle, and where Python looks for modules, a file is a deployment."""

    @pytest.fixture
    def around(self, tmp_path, monkeypatch):
        """A root with the folder of a bundle in it; Airflow knows of one DAG in there."""
        for name in ("dags", "data"):
            (tmp_path / name).mkdir()
        bundle = {
            "name": "dags-folder",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(tmp_path / "dags")},
        }
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        return tmp_path

    @pytest.fixture
    def serve(self, around, monkeypatch, token):
        return lambda **given: served(monkeypatch, token, UPLOAD_ROOTS=f"files={around}", **given)

    def test_a_deployment_has_its_own_switch(self, serve, around):
        with serve() as rest:
            refused = upload(rest, "dags/new.py")
            assert (*kind(refused), refused.json()["switch"]) == (403, "switch-off", "deploy_enabled")
            assert upload(rest, "data/new.py").status_code == 201
            assert kind(rest.delete("/files/files/dags/new.py")) == (403, "switch-off")
        assert everything(around) == {"data/new.py": CONTENT}

    def test_and_its_own_power(self, serve, around, monkeypatch):
        known = powers.granted
        monkeypatch.setattr(powers, "granted", lambda user, power: power == "files" or known(user, power))
        with serve(DEPLOY_ENABLED="True") as rest:
            refused = upload(rest, "dags/new.py", role="op")
            assert (*kind(refused), refused.json()["power"]) == (403, "power-missing", "deploy")
            assert upload(rest, "data/new.py", role="op").status_code == 201
            assert upload(rest, "dags/new.py").status_code == 201

    def test_whose_dag_a_file_holds_may_change_and_read_it(self, serve, around, monkeypatch):
        (around / "dags" / "etl.py").write_text("# the DAG etl")
        monkeypatch.setattr(powers, "granted", lambda *_: True)
        asked = []

        def refuse(self, dag_id, method, access_entity=None):
            asked.append((dag_id, method, access_entity))
            raise errors.Denied("Not this DAG.")

        monkeypatch.setattr(access.AirflowPermissions, "require_dag", refuse)
        with serve(DEPLOY_ENABLED="True") as rest:
            answers = [
                upload(rest, "dags/etl.py", force="true"),
                rest.delete("/files/files/dags/etl.py"),
                rest.get("/files/files/dags/etl.py"),
            ]
            assert {kind(answer) for answer in answers} == {(403, "denied")}
            assert asked == [("etl", "PUT", None), ("etl", "PUT", None), ("etl", "GET", "CODE")]
            assert upload(rest, "dags/etl.pyx").status_code == 201
        assert (around / "dags" / "etl.py").read_text() == "# the DAG etl"

    def test_a_folder_of_modules_is_one_too(self, serve, around, monkeypatch):
        monkeypatch.syspath_prepend(str(around / "data"))
        with serve() as rest:
            assert kind(upload(rest, "data/new.py")) == (403, "switch-off")
            assert kind(upload(rest, "data/x.dist-info/entry_points.txt")) == (403, "switch-off")
            assert upload(rest, "data/.hidden/new.py").status_code == 201

    def test_a_root_that_has_gone_is_away(self, serve, around, monkeypatch):
        with serve() as rest:
            (around / "data").rmdir()
            (around / "dags").rmdir()
            around.rmdir()
            refused = [upload(rest, "a"), rest.get("/files"), rest.get("/files/files/a")]
            assert {kind(answer) for answer in refused} == {(503, "disk-unavailable")}
            assert all(str(around) not in answer.text for answer in refused)


@contextmanager
def served(monkeypatch, token, **settings):
    """A client of an application with other settings."""
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__REST_API__{name}", value)
    with in_process(application()) as http:
        yield clients.Client(http, clients.REST, token)


def authorised(rest):
    return {"Authorization": f"Bearer {rest._token('admin')}"}

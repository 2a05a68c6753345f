"""Forms: multipart bodies that are read piece by piece and checked against the contract."""

from __future__ import annotations

import errno
import hashlib

import pytest

from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.web import sinks, unread_bodies
from tests.web.small import operation, parameter

KIB, MIB = 1024, 1024 * 1024
FORM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["file", "root"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "other": {"type": "string", "format": "binary"},
        "root": {"type": "string", "maxLength": 20},
        "force": {"type": "boolean"},
        "number": {"type": "integer", "minimum": 0, "maximum": 9},
        "ratio": {"type": "number", "maximum": 1},
        "when": {"type": "string", "format": "date-time"},
    },
}
LOOSE = {name: value for name, value in FORM.items() if name != "required"}
KEY = parameter("Idempotency-Key", "header", type="string")
PATHS = {
    "/things": {
        "post": operation(
            "make_thing", body=FORM, takes="multipart/form-data", **{"x-body-limit": "max_upload_mib"}
        )
    },
    "/loose": {"post": operation("make_loose", body=LOOSE, takes="multipart/form-data", required=False)},
    "/two": {
        "post": operation(
            "make_two",
            body=FORM,
            takes="multipart/form-data",
            **{"x-body-limit": {"file": "max_body_kib", "other": "max_upload_mib"}},
        )
    },
    "/kept": {"post": operation("keep_thing", body=FORM, takes="multipart/form-data", parameters=[KEY])},
}
BOUNDARY = "boundary-7"
HEAD = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name, content=b"", file_name=None, *headers):
    """One part of a form, made by hand."""
    file = "" if file_name is None else f'; filename="{file_name}"'
    lines = [f'Content-Disposition: form-data; name="{name}"{file}', *headers]
    content = content.encode() if isinstance(content, str) else content
    return "\r\n".join([f"--{BOUNDARY}", *lines, "", ""]).encode() + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


WHOLE = form(part("file", b"print(1)\r\n", "a.py"), part("root", "dags"))


def told(body):
    """What a handler got, as JSON."""
    return {
        name: {"name": value.name, "size": value.size, "sha256": value.sha256, "content": value.read().hex()}
        if isinstance(value, Upload)
        else value
        for name, value in body.items()
    }


@pytest.fixture
def seen():
    """The bodies that reached a handler."""
    return []


@pytest.fixture
def client(build, seen):
    def take(body):
        seen.append(body)
        return {"got": told(body)}

    return build(
        PATHS,
        {"make_thing": take, "make_loose": take, "make_two": take, "keep_thing": take},
        max_upload_mib=2,
        max_body_kib=512,
    )


@pytest.fixture
def post(client):
    return lambda content, path="things", **headers: client.post(
        path, content=content, headers={**HEAD, **headers}
    )


def got(response):
    assert response.status_code == 200, response.text
    return response.json()["got"]


def refused(response, status=400):
    assert response.status_code == status, response.text
    document = response.json()
    assert document["detail"].isprintable()
    assert len(document["detail"]) < 300
    return document["detail"]


class TestFields:
    def test_a_file_and_texts_reach_the_handler(self, post):
        texts = [part("force", "true"), part("number", "7"), part("ratio", "0.5")]
        answer = got(post(form(part("file", b"print(1)\r\n", "a.py"), part("root", "dags"), *texts)))
        assert answer == {
            "file": {
                "name": "a.py",
                "size": 10,
                "sha256": hashlib.sha256(b"print(1)\r\n").hexdigest(),
                "content": b"print(1)\r\n".hex(),
            },
            "root": "dags",
            "force": True,
            "number": 7,
            "ratio": 0.5,
        }

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1", True), ("Yes", True), ("on", True), ("T", True), ("0", False), ("OFF", False)],
    )
    def test_a_boolean_is_known_in_every_spelling(self, post, text, value):
        assert got(post(form(part("force", text)), "loose")) == {"force": value}

    def test_a_client_library_is_understood(self, client):
        answer = got(client.post("things", files={"file": ("ä b.py", b"\x00\xff"), "root": (None, "dägs")}))
        assert (answer["file"]["name"], answer["file"]["content"], answer["root"]) == (
            "ä b.py",
            "00ff",
            "dägs",
        )

    def test_bytes_that_resemble_the_boundary_are_content(self, post):
        content = f"\r\n--{BOUNDARY[:-1]}\r\n--\r\n-{BOUNDARY}\r\r\n\r\n--{BOUNDARY}x\r\n".encode() * 50
        answer = got(post(form(part("file", content, "a"), part("root", "r"))))
        assert answer["file"]["content"] == content.hex()

    def test_a_part_may_tell_its_media_type(self, post):
        parts = [
            part("file", b"x", "a", "Content-Type: text/x-python"),
            part("root", "r", None, "Content-Type: text/plain"),
        ]
        assert got(post(form(*parts)))["root"] == "r"

    def test_an_empty_file_with_a_name_is_a_file(self, post):
        file = got(post(form(part("file", b"", "a.py"), part("root", "r"))))["file"]
        assert (file["name"], file["size"]) == ("a.py", 0)

    @pytest.mark.parametrize(
        "empty", [part("other"), part("other", b"", ""), part("number"), part("force"), part("when", b"", "")]
    )
    def test_an_empty_part_counts_as_absent(self, post, empty):
        assert got(post(form(part("file", b"x", "a"), part("root", "r"), empty))).keys() == {"file", "root"}

    def test_an_absent_body_is_an_empty_one_where_none_is_needed(self, post, client):
        assert got(post(b"", "loose")) == {}
        assert got(client.post("loose")) == {}
        assert got(post(form(), "loose")) == {}
        assert refused(post(b"")) == "The request needs a body."

    @pytest.mark.parametrize(
        ("parts", "detail"),
        [
            ([part("file", b"x", "a")], "The field '/root': The field is required."),
            ([part("root", "r")], "The field '/file': The field is required."),
            ([part("file"), part("root", "r")], "The field '/file': The field is required."),
            ([part("file", b"x", "a"), part("root")], "The field '/root': The field is required."),
            ([part("rot", "r")], "Unknown field '/rot'."),
            ([part("rot\u202f'", "r")], "Unknown field '/rot\ufffd''."),
            ([part("root", "r"), part("root", "s")], "The field '/root': Was sent more than once."),
            (
                [part("file", b"x", "a"), part("file", b"x", "b")],
                "The field '/file': Was sent more than once.",
            ),
            ([part("file", b"x")], "The field '/file': Must be sent as a file, with its name."),
            ([part("file", b"x", "")], "The field '/file': Must be sent as a file, with its name."),
            (
                [part("root", "r", "a")],
                "The field '/root': Must be sent as a text, without the name of a file.",
            ),
            ([part("root", b"\xe4")], "The field '/root' is not UTF-8."),
            ([part("root", b"a\0")], "The field '/root': Must not contain the character NUL."),
            ([part("root", "x" * (64 * KIB + 1))], "The field '/root' has more than 65536 bytes."),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_wrong_with_a_field_is_told(self, post, seen, parts, detail):
        assert refused(post(form(*parts))) == detail
        assert seen == []

    @pytest.mark.parametrize(
        ("name", "value", "detail"),
        [
            ("root", "x" * 21, "Must have at most 20 characters."),
            ("force", "maybe", "Must be of type boolean."),
            ("number", "1.5", "Must be of type integer."),
            ("number", "10", "Must be at most 9."),
            ("ratio", "many", "Must be of type number."),
            ("when", "today", "Must be a date-time."),
        ],
    )
    def test_a_text_has_to_fit_the_schema(self, post, name, value, detail):
        assert refused(post(form(part(name, value)), "loose")) == f"The field '/{name}': {detail}"


class TestSyntax:
    @pytest.mark.parametrize("step", [1, 7, len(WHOLE)], ids=["byte by byte", "in pieces", "whole"])
    def test_a_form_may_arrive_in_any_pieces(self, client, step):
        pieces = (WHOLE[place : place + step] for place in range(0, len(WHOLE), step))
        assert got(client.post("things", content=pieces, headers=HEAD))["root"] == "dags"

    def test_every_beginning_of_a_form_is_refused(self, post, seen):
        complete = len(WHOLE) - len("\r\n")
        for length in range(1, complete):
            assert refused(post(WHOLE[:length])), length
        assert seen == []
        assert got(post(WHOLE[:complete]))["root"] == "dags"

    def test_an_incomplete_form_is_called_so(self, post):
        assert "before its last boundary" in refused(post(WHOLE[:-10]))

    @pytest.mark.parametrize(
        "content_type",
        [
            "multipart/form-data",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            'multipart/form-data; boundary=""',
            f"multipart/form-data; boundary={'b' * 71}",
            f"multipart/form-data; boundary={'b' * 10_000}",
            "multipart/form-data; boundary=another",
            "multipart/form-data; charset=utf-8",
        ],
    )
    def test_a_wrong_boundary_is_told(self, post, seen, content_type):
        assert "boundary" in refused(post(WHOLE, **{"content-type": content_type}))
        assert seen == []

    @pytest.mark.parametrize(
        "content_type",
        [f"Multipart/Form-Data; Boundary={BOUNDARY}", f'multipart/form-data;boundary="{BOUNDARY}"'],
    )
    def test_the_media_type_is_known_in_every_spelling(self, post, content_type):
        assert got(post(WHOLE, **{"content-type": content_type}))["root"] == "dags"

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/x-www-form-urlencoded",
            f"multipart/mixed; boundary={BOUNDARY}",
            f"multipart/form-data-x; boundary={BOUNDARY}",
            f"multipart/*; boundary={BOUNDARY}",
        ],
    )
    def test_another_media_type_is_refused(self, post, seen, content_type):
        refused(post(WHOLE, **{"content-type": content_type}), 415)
        assert seen == []

    @pytest.mark.parametrize(
        "head",
        [
            "X: y",
            "Content-Disposition: form-data",
            'Content-Disposition: form-data; name=""',
            'Content-Disposition: form-data; filename="a"',
            'Content-Disposition: attachment; name="root"',
            'Content-Disposition: form-data-x; name="root"',
            'Content-Disposition: form-data; name="root"; name="file"',
            'Content-Disposition: form-data; name="file"; filename="a"; FILENAME="b"',
            "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''a.py",
            'Content-Disposition: form-data; name="root',
            'Content-Disposition: form-data; name="ro\not"',
            'Content-Disposition: form-data; name="file"; filename="a\0.py"',
            'Content-Disposition: form-data; name="file"; filename="a\x7f.py"',
            'Content-Disposition: form-data; name="file"; filename="a"b"',
            'Content-Disposition: form-data; name="root"\r\nContent-Disposition: form-data; name="file"',
            'Content-Disposition: form-data; name="root"\r\nContent-Transfer-Encoding: base64',
            'Content-Disposition: form-data; name="root"\r\nContent-Transfer-Encoding: quoted-printable',
            'Content-Disposition: form-data; name="root"\r\nno header',
            'Content-Disposition: form-data; name="root"\r\n: y',
            'Content-Disposition: form-data; name="root"' + "\r\nX: y" * 8,
            'Content-Disposition: form-data; name="root"\r\nX: ' + "y" * 5000,
            'Content-Disposition: form-data; name="root"\r\n' + "y" * 5000 + ": x",
            'Content-Disposition: form-data; name="root"\ry: x',
        ],
    )
    def test_the_head_of_a_part_has_one_meaning_or_is_refused(self, post, seen, head):
        refused(post(f"--{BOUNDARY}\r\n{head}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(), "loose"))
        assert seen == []

    def test_a_head_that_is_not_utf8_is_refused(self, post):
        assert "not UTF-8" in refused(
            post(form(part("file", b"x", "ä")).replace("ä".encode(), b"\xe4"), "loose")
        )

    def test_a_name_is_handed_on_as_it_was_sent(self, post):
        for sent, name in {
            "../../etc/passwd": "../../etc/passwd",
            "C:\\dags\\a.py": "C:\\dags\\a.py",
            'a\\"b\\\\c.py': 'a"b\\c.py',
            "a;b=c.py": "a;b=c.py",
            "Bild 10.30\u202fPM.png": "Bild 10.30\u202fPM.png",
            "%2e%2e%2fa": "%2e%2e%2fa",
        }.items():
            assert got(post(form(part("file", b"x", sent)), "loose"))["file"]["name"] == name

    def test_an_extended_name_beside_the_plain_one_is_passed_over(self, post):
        head = "Content-Disposition: form-data; name=file; filename=a.py; filename*=utf-8''b.py"
        body = f"--{BOUNDARY}\r\n{head}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()
        assert got(post(body, "loose"))["file"]["name"] == "a.py"

    def test_ten_thousand_parts_are_not_read(self, post):
        assert "more than once" in refused(post(form(*[part("root", "r")] * 10_000)))

    def test_what_is_no_form_is_refused(self, post):
        for content in (b"x", b"{}", b"--", b"\r\n" * 100, b"preamble\r\n" + WHOLE, b"\0" * 1000):
            assert refused(post(content))

    def test_what_follows_the_last_boundary_is_passed_over(self, post):
        assert got(post(WHOLE + part("root", "other") + b"x" * 1000))["root"] == "dags"


class TestSize:
    @pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 2 * MIB])
    def test_a_large_file_is_taken_whole(self, post, size):
        content = bytes(range(251)) * (size // 251 + 1)
        file = got(post(form(part("file", content[:size], "a"), part("root", "r"))))["file"]
        assert (file["size"], file["sha256"]) == (size, hashlib.sha256(content[:size]).hexdigest())
        assert file["content"] == content[:size].hex()

    def test_a_file_beyond_the_limit_is_refused(self, post, seen):
        assert "2097152 bytes" in refused(post(form(part("file", b"x" * (2 * MIB + 1), "a"))), 413)
        assert seen == []

    def test_a_body_beyond_the_limit_is_refused_unread(self, client, seen, monkeypatch):
        # What is discarded after the response is not read.
        monkeypatch.setattr(unread_bodies, "LINGER_BYTES", 0)

        def pieces():
            yield b"x"
            raise AssertionError("the body was read")

        length = str(2 * MIB + 64 * KIB + 1)
        refused(client.post("things", content=pieces(), headers={**HEAD, "content-length": length}), 413)

    def test_the_limit_is_that_of_the_operation(self, post):
        large = form(part("file", b"x" * (MIB // 2 + 1), "a"))
        assert "524288 bytes" in refused(post(large, "loose"), 413)

    def test_the_limit_may_be_another_one_for_each_file(self, post):
        half, whole = b"x" * (MIB // 2), b"x" * MIB
        assert "524288 bytes" in refused(post(form(part("file", half + b"x", "a")), "two"), 413)
        files = got(post(form(part("file", half, "a"), part("other", whole, "b"), part("root", "r")), "two"))
        assert [files[name]["size"] for name in ("file", "other")] == [MIB // 2, MIB]
        assert "2097152 bytes" in refused(post(form(part("other", whole * 3, "b")), "two"), 413)

    def test_a_full_disk_is_told(self, post, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(sinks.SpooledTemporaryFile, "rollover", full)
        assert "no room" in refused(post(form(part("file", b"x" * 2 * MIB, "a"))), 507)

    def test_another_fault_of_the_disk_is_one_of_the_service(self, post, monkeypatch):
        def broken(*_):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(sinks.SpooledTemporaryFile, "rollover", broken)
        assert "Input" not in refused(post(form(part("file", b"x" * 2 * MIB, "a"))), 500)


class TestUploads:
    def test_files_are_closed_when_the_request_ends(self, post, seen, monkeypatch):
        opened = []
        spooled = sinks.SpooledTemporaryFile
        monkeypatch.setattr(
            sinks, "SpooledTemporaryFile", lambda size: opened.append(spooled(size)) or opened[-1]
        )
        file, big = part("file", b"x", "a"), part("other", b"x" * (2 * MIB + 1), "b")
        got(post(form(file, part("root", "r"))))
        refused(post(form(file)))  # the schema
        refused(post(form(file, part("rot", "r"))))  # a field
        refused(post(file))  # incomplete
        refused(post(form(file, big)), 413)
        assert len(opened) == 6
        assert [one.closed for one in opened] == [True] * 6

    def test_the_content_can_be_read_again_and_by_two_at_once(self, tmp_path):
        content = bytes(range(256)) * 3000
        with (tmp_path / "file").open("wb+") as file:
            file.write(content)
            upload = Upload("a", len(content), "", file)
            first, second = upload.chunks(), upload.chunks()
            pairs = list(zip(first, second, strict=True))
        assert len(pairs) == 3
        assert b"".join(one for one, _ in pairs) == b"".join(other for _, other in pairs) == content

    def test_a_repetition_is_known_by_its_content_and_name(self, client, seen):
        def send(content, name="a.py"):
            files = {"file": (name, content), "root": (None, "r")}
            return client.post("kept", files=files, headers={"Idempotency-Key": "k1"})

        assert send(b"x").status_code == 200
        assert send(b"x").headers["idempotency-replayed"] == "true"
        assert len(seen) == 1
        assert send(b"y").status_code == send(b"x", "b.py").status_code == 422

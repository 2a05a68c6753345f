"""Archives of strangers: plain files come out, or nothing."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile

import pytest

from airflow_rest_api.services.deployments import archive
from airflow_rest_api.services.deployments.archive import ArchiveRefused
from tests.services.test_confined import HOSTILE

MOST = 1 << 20
FILES = {"dag.py": b"one", "sql/query.sql": b"two", "sql/deep/er.txt": b""}


def zipped(files, **options):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in options.items():
                setattr(info, attribute, value)
            packed.writestr(info, data)
    return raw.getvalue()


def tarred(files, **options):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for attribute, value in options.items():
                setattr(info, attribute, value)
            packed.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def unpacked(data, most=MOST):
    return archive.unpacked(io.BytesIO(data), most_bytes=most)


PACKERS = pytest.mark.parametrize("packed", [zipped, tarred])


@PACKERS
def test_plain_files_come_out(packed):
    assert unpacked(packed(FILES)) == FILES


@PACKERS
def test_folders_and_litter_are_left_out(packed):
    extra = {"__MACOSX/._dag.py": b"", ".DS_Store": b"", "sql/__pycache__/x.pyc": b"", "y.pyc": b""}
    assert unpacked(packed({**FILES, **extra})) == FILES


def test_what_tar_writes_of_a_folder_comes_out(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "etl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, expected in (("etl", {f"etl/{name}": data for name, data in FILES.items()}), (".", FILES)):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz") as packed:
            packed.add(tmp_path / "etl", name)
        assert unpacked(raw.getvalue()) == expected
    assert archive.without_top({f"etl/{name}": data for name, data in FILES.items()}, "etl") == FILES
    assert archive.without_top({**FILES, "etl/x": b""}, "etl") == {**FILES, "etl/x": b""}


# A slash at the end makes a folder of it, `./a` is how tar calls `a`, and neither writer takes half a surrogate pair.
NAMES = [name for name in HOSTILE if name not in ("", "a/", "./a", "a\0b") and "\ud800" not in name]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@PACKERS
def test_a_hostile_name_is_refused(packed, name):
    with pytest.raises(ArchiveRefused):
        unpacked(packed({"dag.py": b"", name: b""}))


def test_a_name_that_is_cut_at_a_nul_is_refused():
    data = zipped({"dag.pyXetc": b""})
    with pytest.raises(ArchiveRefused):
        unpacked(data.replace(b"dag.pyX", b"dag.py\0"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z"]
)
def test_what_is_no_file_is_refused_in_a_tar(kind):
    with pytest.raises(ArchiveRefused, match="link or no plain file"):
        unpacked(tarred({"dag.py": b""}, type=kind, linkname="/etc/passwd"))


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o140644])
def test_what_is_no_file_is_refused_in_a_zip(mode):
    with pytest.raises(ArchiveRefused, match="link or no file"):
        unpacked(zipped({"dag.py": b"/etc/passwd"}, external_attr=mode << 16))


@PACKERS
def test_a_bomb_is_refused_before_it_is_unpacked(packed):
    with pytest.raises(ArchiveRefused, match="more than 1048576 bytes"):
        unpacked(packed({"dag.py": b"0" * (MOST + 1)}))
    with pytest.raises(ArchiveRefused, match="more than 1048576 bytes"):
        unpacked(packed({f"{number}.py": b"0" * (MOST // 10) for number in range(12)}))
    assert len(unpacked(packed({"dag.py": b"0" * MOST}))["dag.py"]) == MOST


def test_a_size_that_is_announced_is_not_believed():
    data = bytearray(zipped({"dag.py": b"0" * (MOST * 4)}))
    size = (MOST * 4).to_bytes(4, "little")
    assert data.count(size) == 2
    with pytest.raises(ArchiveRefused):
        unpacked(bytes(data.replace(size, (10).to_bytes(4, "little"))))


def with_header(content, kind=tarfile.XHDTYPE):
    """A tar file whose first entry is an extended header with this content, before `dag.py`."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as packed:
        header = tarfile.TarInfo("././@PaxHeader")
        header.type, header.size = kind, len(content)
        # `addfile` copies no content for a type that it does not know, so that it is written as a file of its own.
        packed.fileobj.write(header.tobuf())
        packed.fileobj.write(content + b"\0" * (-len(content) % tarfile.BLOCKSIZE))
        packed.addfile(tarfile.TarInfo("dag.py"))
    return raw.getvalue()


BROKEN = "broken or not complete"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE])
def test_a_header_that_takes_tarfile_quadratic_time_is_refused(kind):
    assert unpacked(with_header(b"17 comment=words\n", kind)) == {"dag.py": b""}
    for content in (
        b"0" * (MOST * 8),
        b"2 " * (MOST * 4),
        b"1" * 300 + b" comment=\n",
        b"311 comment=" + b"0" * 298 + b"\n",
        b"11 comment=",
        b"12 comment:\n",
        b"99 comment=\n",
        b"70010 comment=" + b"x" * 69_995 + b"\n",
    ):
        with pytest.raises(ArchiveRefused, match=BROKEN):
            unpacked(with_header(content, kind))
    with pytest.raises(ArchiveRefused, match=BROKEN):
        unpacked(tarred({"dag.py": b""}, pax_headers={"comment": "0" * (MOST * 8)}))


def test_long_names_of_other_alphabets_are_in_plain_headers():
    name = "/".join(["größe" * 20] * 5) + ".py"
    assert unpacked(tarred({name: b"x"}, pax_headers={"mtime": "1770000000.123456789"})) == {name: b"x"}


def test_a_content_that_looks_like_a_header_is_not_taken_for_one():
    files = {"numbers.csv": b"1234567890" * 100_000, "x.txt": b"x" * 5000}
    assert unpacked(tarred(files)) == files


@PACKERS
def test_too_many_entries_and_too_deep_ones_are_refused(packed):
    with pytest.raises(ArchiveRefused, match="more than 10,000 entries"):
        unpacked(packed({f"{number}.py": b"" for number in range(10_001)}))
    with pytest.raises(ArchiveRefused, match="folders deep"):
        unpacked(packed({"/".join("d" * 21): b""}))


def test_a_name_twice_is_refused():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as packed:
        packed.writestr("dag.py", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("dag.py", "two")
    with pytest.raises(ArchiveRefused, match=r"'dag\.py' twice"):
        unpacked(raw.getvalue())


@PACKERS
def test_a_file_that_is_a_folder_as_well_is_refused(packed):
    with pytest.raises(ArchiveRefused, match="'sql' as a file and as a folder"):
        unpacked(packed({"sql": b"", "sql/query": b""}))


@pytest.mark.parametrize("options", [{"flag_bits": 1}, {"compress_type": zipfile.ZIP_LZMA}])
def test_an_encrypted_or_strangely_compressed_zip_is_refused(options):
    raw = zipped({"dag.py": b"content" * 100}, **({} if "flag_bits" in options else options))
    if "flag_bits" in options:
        place = raw.rindex(b"PK\1\2") + 8
        raw = raw[:place] + b"\1\0" + raw[place + 2 :]
    with pytest.raises(ArchiveRefused):
        unpacked(raw)


@pytest.mark.parametrize(
    "data", [b"", b"P", b"PK", b"\x1f\x8b", b"# airflow dag", gzip.compress(b"no tar", mtime=0), b"BZh9"]
)
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(ArchiveRefused):
        unpacked(data)


@PACKERS
def test_an_empty_archive_is_refused(packed):
    with pytest.raises(ArchiveRefused, match="holds no file"):
        unpacked(packed({}))


@PACKERS
def test_a_cut_archive_is_refused_wherever_it_was_cut(packed):
    noise = random.Random(5)
    data = packed({"dag.py": noise.randbytes(3000), "other.py": noise.randbytes(2000)})
    for length in range(0, len(data), 37):
        with pytest.raises(ArchiveRefused):
            unpacked(data[:length])


@PACKERS
def test_an_archive_with_a_changed_byte_is_refused_or_whole(packed):
    noise = random.Random(6)
    files = {"dag.py": noise.randbytes(500), "other.py": noise.randbytes(500)}
    data = packed(files)
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
        try:
            found = unpacked(changed)
        except ArchiveRefused:
            continue
        # What stands beside the content, such as a time or an attribute, may be another.
        assert all(content in files.values() for content in found.values())


def damaged(tar: bytes, place: int) -> list[bytes]:
    """A tar file that is cut at the entry that begins at a place, or damaged in one of several ways."""
    return [
        tar[:place],
        tar[: place + 100],
        tar[:place] + bytes(1024) + tar[place:],
        tar[: place + 20] + b"\xff" + tar[place + 21 :],
        tar[: place + 148] + b"\xff" * 8 + tar[place + 156 :],
    ]


@pytest.mark.parametrize("number", range(1, 4))
def test_a_tar_that_is_damaged_between_its_entries_is_not_taken_for_a_shorter_one(number):
    tar = gzip.decompress(tarred({f"{name}.py": b"1" * 500 for name in "abcd"}))
    place = number * 2 * tarfile.BLOCKSIZE
    for data in damaged(tar, place):
        with pytest.raises(ArchiveRefused, match="broken or not complete"):
            unpacked(gzip.compress(data))


def test_a_tar_without_its_end_is_refused():
    tar = gzip.decompress(tarred({"dag.py": b"1" * 500}))
    with pytest.raises(ArchiveRefused, match="broken or not complete"):
        unpacked(gzip.compress(tar[: 2 * tarfile.BLOCKSIZE]))


def test_a_zip_whose_directory_hides_an_entry_is_refused():
    data = bytearray(zipped({f"{name}.py": b"1" for name in "abc"}))
    # The comment of the first entry swallows the second one.
    first = data.index(b"PK\1\2")
    data[first + 32] = data.index(b"PK\1\2", first + 1) - first
    with pytest.raises(ArchiveRefused, match="broken or not complete"):
        unpacked(bytes(data))


def test_a_comment_of_a_zip_does_no_harm():
    raw = io.BytesIO(zipped(FILES))
    with zipfile.ZipFile(raw, "a") as packed:
        packed.comment = b"made by hand" * 100
    assert unpacked(raw.getvalue()) == FILES

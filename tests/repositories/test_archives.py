"""Archives: what comes out, and what an attacker's does not get."""

import bz2
import io
import lzma
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from repository_support import names, write

from sera.errors import SourceError, UsageError
from sera.repositories import SourceLimits, open_snapshot


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> str:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"])
def test_every_kind_gives_the_same_snapshot(tmp_path: Path, cache: Path, ending: str) -> None:
    root = write(tmp_path / "in/proj-1.2", {"a.py": "1\n", "b/c.py": "2\n", "run": "#!/bin/sh\n"})
    (root / "run").chmod(0o755)
    path = tmp_path / f"whatever.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(root.rglob("*")):
                archive.write(file, file.relative_to(tmp_path / "in"))
    else:
        with tarfile.open(path, "w:" + {"tar": "", "tgz": "gz"}.get(ending, ending[4:])) as archive:  # type: ignore[call-overload]
            archive.add(root, "proj-1.2")
    snapshot = open_snapshot(str(path), cache)
    assert snapshot.commit == open_snapshot(str(root), cache).commit
    assert (snapshot.kind, snapshot.name, snapshot.origin_commit, snapshot.files) == (
        "archive",
        "proj",
        "",
        3,
    )
    with pytest.raises(UsageError, match="no git repository"):
        open_snapshot(str(path), cache, revision="v1")


def test_hostile_tar_stays_inside(tmp_path: Path, cache: Path) -> None:
    source = tar(
        tmp_path / "evil.tar.gz",
        [
            (member("ok.py"), b"fine\n"),
            (member("../../escape.py"), b"!"),
            (member(str(tmp_path / "absolute.py")), b"!"),
            (member("door", tarfile.SYMTYPE, str(tmp_path)), b""),
            (member("door/through.py"), b"!"),
            (member("rel", tarfile.SYMTYPE, "../.."), b""),
            (member("rel/../through.py"), b"!"),
            (member("d/root", tarfile.SYMTYPE, ".."), b""),
            (member("climb", tarfile.SYMTYPE, "d/root/../x"), b""),
            (member("hard", tarfile.LNKTYPE, "ok.py"), b""),
            (member("hard-out", tarfile.LNKTYPE, "../../../etc/passwd"), b""),
            (member("device", tarfile.CHRTYPE), b""),
            (member("fifo", tarfile.FIFOTYPE), b""),
            (member(".git/config"), b"[core]\n\tfsmonitor = touch x\n"),
            (member("sub/.GIT/hooks/post-checkout"), b"!"),
            (member(".gitmodules", tarfile.SYMTYPE, "ok.py"), b""),
            (member("suid", mode=0o6755), b"!"),
            (member("n" * 300), b"!"),
        ],
    )
    snapshot = open_snapshot(source, cache)
    assert names(snapshot.tree) == {"ok.py", "door/through.py", "d/root", "hard", "suid"}
    assert not list(tmp_path.rglob("escape.py")) + list(tmp_path.glob("*.py"))
    assert (snapshot.tree / "suid").stat().st_mode & 0o7777 == 0o755
    assert (snapshot.tree / "hard").read_bytes() == b"fine\n"
    assert "fsmonitor" not in (snapshot.tree / ".git/config").read_text()
    assert snapshot.skipped == {
        "broken hard link": 1,
        "link leads outside": 4,
        "path cannot be written": 1,
        "path leads outside": 3,
        "special file": 2,
        "version control": 2,
    }


def test_hostile_zip_stays_inside(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ok.py", "fine\n")
        archive.writestr("../../escape.py", "!")
        archive.writestr("/absolute.py", "!")
        for name, target in (("out", "/etc/passwd"), ("in", "ok.py")):
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    snapshot = open_snapshot(str(path), cache)
    assert names(snapshot.tree) == {"ok.py", "in"}
    assert snapshot.skipped == {"link leads outside": 1, "path leads outside": 2}
    assert (snapshot.tree / "in").readlink() == Path("ok.py")


@pytest.mark.parametrize("kind", ["tar", "zip", "count"])
def test_bombs_are_refused(tmp_path: Path, cache: Path, kind: str) -> None:
    path = tmp_path / "bomb"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(4):
                archive.writestr(f"{n}", b"\0" * 400_000)
    else:
        tar(path, [(member(str(n)), b"\0" * (400_000 if kind == "tar" else 0)) for n in range(4)])
    limits = SourceLimits(file_bytes=300_000, total_bytes=1_000_000, files=3)
    with pytest.raises(SourceError, match="too large"):
        open_snapshot(str(path), cache, limits=limits)
    assert list((cache / "snapshots").iterdir()) == []


def test_headers_are_metered_too(tmp_path: Path, cache: Path) -> None:
    info = member("a.py")
    info.pax_headers = {"comment": "x" * 5_000_000}
    source = tar(tmp_path / "bomb.tgz", [(info, b"")])
    with pytest.raises(SourceError, match="unpacks to far more"):
        open_snapshot(source, cache, limits=SourceLimits(total_bytes=1_000_000))


def test_damaged_archives(tmp_path: Path, cache: Path) -> None:
    whole = Path(tar(tmp_path / "whole.tar.gz", [(member("a.py"), os.urandom(50_000))])).read_bytes()
    for name, content in {
        "cut.tar.gz": whole[:20_000],
        "bad.tar.gz": whole[:60] + b"\0" * 50 + whole[110:],
        "bad.zip": b"PK\3\4" + b"x" * 90,
        "empty.tar.gz": b"",
        "text.tar.gz": b"no archive at all",
        "zero.tar.xz": b"\xfd7zXZ\0" + b"\0" * 60,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=name.replace(".", r"\.")):
            open_snapshot(str(tmp_path / name), cache)


# ── what an archive says of itself ────────────────────────────────────────────────────────────────


def header(kind: bytes, body: bytes, claimed: int | None = None) -> bytes:
    """An extended header, whose size may be another than its body's."""
    info = member("note", kind)
    info.size = len(body) if claimed is None else claimed
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % tarfile.BLOCKSIZE)


def one_file(name: str = "a.py", content: bytes = b"x = 1\n") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = member(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def record(key: bytes, value: bytes) -> bytes:
    """One record of pax."""
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


@pytest.mark.parametrize(
    "packed", [bytes, lambda data: zlib.compress(data, wbits=31), bz2.compress, lzma.compress]
)
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, b"K", b"X"])
def test_a_header_that_never_ends(
    tmp_path: Path, cache: Path, packed: Callable[[bytes], bytes], kind: bytes
) -> None:
    (tmp_path / "bomb").write_bytes(packed(header(kind, bytes(1 << 20), claimed=3 << 30) + one_file()))
    with pytest.raises(SourceError, match=r"extended header of 3,221,225,472 bytes, .* may have 1,048,576"):
        open_snapshot(str(tmp_path / "bomb"), cache)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_without_a_file(tmp_path: Path, cache: Path, kind: bytes) -> None:
    note = header(kind, record(b"comment", b"x"))
    (tmp_path / "bomb.tar").write_bytes(note * 3000 + one_file())
    with pytest.raises(SourceError, match="more than 16 extended headers in a row"):
        open_snapshot(str(tmp_path / "bomb.tar"), cache)
    (tmp_path / "end.tar").write_bytes(one_file()[:1024] + note)
    with pytest.raises(SourceError, match="ends after an extended header"):
        open_snapshot(str(tmp_path / "end.tar"), cache)


def test_headers_are_read_in_linear_time(tmp_path: Path, cache: Path) -> None:
    """Digits, which a search tries from each of them; a name that stands anew in hundreds of headers for all."""
    digits = header(tarfile.XHDTYPE, record(b"comment", b"1" * 900_000))
    for_all = b"".join(
        header(tarfile.XGLTYPE, record(b"key%d" % n, b"x" * 500)) + one_file(f"{n}.py")[:1024]
        for n in range(2000)
    )
    (tmp_path / "slow.tar").write_bytes(for_all + digits + one_file())
    assert open_snapshot(str(tmp_path / "slow.tar"), cache).files == 2001


@pytest.mark.parametrize(
    "body",
    [b"9" * 400, b"12 path", b"0 path=x\n", b"-5 path=x\n", b"99 path=x\n", record(b"size", b"-1"), record(b"size", b"9" * 5000)],
)  # fmt: skip
def test_headers_that_are_nonsense(tmp_path: Path, cache: Path, body: bytes) -> None:
    (tmp_path / "odd.tar").write_bytes(header(tarfile.XHDTYPE, body) + one_file())
    with pytest.raises(SourceError, match=r"odd\.tar cannot be unpacked"):
        open_snapshot(str(tmp_path / "odd.tar"), cache)


@pytest.mark.parametrize("format_", ["oldgnu", "gnu", "ustar", "posix"])
@pytest.mark.skipif(not shutil.which("tar"), reason="no tar here")
def test_what_tar_writes(tmp_path: Path, cache: Path, format_: str) -> None:
    """Names longer than a header has room for, names in other scripts, holes, hard links."""
    root = tmp_path / "project"
    long = "/".join(["a" * 90] * 3) + "/module.py"
    written = {"b.py": "1\n", "ünï/ко́д.py": "2\n"} | ({long: "3\n"} if format_ != "ustar" else {})
    write(root, written)
    with (root / "holes.bin").open("wb") as file:
        for start in (0, 300_000, 9_000_000, 20_000_000):
            file.seek(start)
            file.write(random.Random(start).randbytes(5000))
        file.truncate(24_000_000)
    holes = [] if format_ == "ustar" else ["--sparse"]
    (root / "twin.py").hardlink_to(root / "b.py")
    (root / "way.py").symlink_to("b.py")
    subprocess.run(
        ["tar", f"--format={format_}", *holes, "-C", tmp_path, "-cf", tmp_path / "x.tar", "project"],
        check=True,
    )
    snapshot = open_snapshot(str(tmp_path / "x.tar"), cache)
    assert names(snapshot.tree) == {*written, "holes.bin", "twin.py", "way.py"}
    assert (snapshot.tree / "holes.bin").read_bytes() == (root / "holes.bin").read_bytes()
    assert snapshot.skipped == {}


def test_a_sparse_file_that_lies(tmp_path: Path, cache: Path) -> None:
    """Of its size, of where its pieces lie, of how many there are."""
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
    for number, (size, table) in enumerate(
        [("9" * 18, "1\n0\n4\n"), ("8", "1\n6\n4\n"), ("8", "99999999\n"), ("8", "1\n0\n"), ("8", "x\n"), ("8", "2\n0\n4\n0\n4\n")]
    ):  # fmt: skip
        body = b"".join(
            record(k.encode(), v.encode()) for k, v in {**facts, "GNU.sparse.realsize": size}.items()
        )
        content = table.encode().ljust(512, b"\0") + b"data"
        (tmp_path / f"{number}.tar").write_bytes(header(tarfile.XHDTYPE, body) + one_file("y", content))
        with pytest.raises(SourceError, match=r"sparse|cannot be unpacked|too large"):
            open_snapshot(str(tmp_path / f"{number}.tar"), cache)


def holes(*, more: bool) -> bytes:
    """The header of a sparse file, in GNU's format, whose map is of nothing."""
    block = bytearray(header(tarfile.GNUTYPE_SPARSE, b""))
    block[386:495] = b"00000000000\0" * 8 + bytes([more]) + b"00000000010\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_entries_that_are_no_files_are_counted(tmp_path: Path, cache: Path) -> None:
    """Directories, pieces of a sparse file that hold nothing, records of pax that nobody reads."""
    limits = SourceLimits(files=1000)
    folders = header(tarfile.DIRTYPE, b"")
    (tmp_path / "a.tar").write_bytes(folders * 1999 + one_file())
    assert open_snapshot(str(tmp_path / "a.tar"), cache, limits=limits).files == 1
    (tmp_path / "b.tar").write_bytes(folders * 2000 + one_file())
    with pytest.raises(SourceError, match="more than 2,000 entries"):
        open_snapshot(str(tmp_path / "b.tar"), cache, limits=limits)
    empty = (b"00000000000\0" * 42 + b"\1").ljust(512, b"\0")
    (tmp_path / "c.tar").write_bytes(holes(more=True) + empty * 4000 + one_file())
    with pytest.raises(SourceError, match="more than 65,536 pieces"):
        open_snapshot(str(tmp_path / "c.tar"), cache)
    notes = header(tarfile.XHDTYPE, b"5 a=\n" * 209_000) + one_file()[:1024]
    (tmp_path / "d.tar").write_bytes(notes + one_file())
    with pytest.raises(SourceError, match="extended headers that come to more than 8,000,000 bytes"):
        open_snapshot(str(tmp_path / "d.tar"), cache, limits=SourceLimits(paths_bytes=1_000_000))


def test_a_long_name_for_all(tmp_path: Path, cache: Path) -> None:
    """A link's target means nothing to a file; a directory has a path too."""
    target = header(tarfile.XGLTYPE, record(b"linkpath", b"x" * 900_000))
    (tmp_path / "a.tar").write_bytes(target + one_file())
    assert open_snapshot(str(tmp_path / "a.tar"), cache).files == 1
    name = header(tarfile.XGLTYPE, record(b"path", b"x" * 900_000)) + header(tarfile.DIRTYPE, b"")
    (tmp_path / "b.tar").write_bytes(name + header(tarfile.XHDTYPE, record(b"path", b"a.py")) + one_file())
    with pytest.raises(SourceError, match="path of 900,000 bytes"):
        open_snapshot(str(tmp_path / "b.tar"), cache)


@pytest.mark.skipif(not shutil.which("tar"), reason="no tar here")
def test_tars_as_few_write_them(tmp_path: Path, cache: Path) -> None:
    """The oldest format, which has no mark; hard links of symbolic links, and by another spelling; records
    that say nothing, so that the header holds."""
    root = write(tmp_path / "project", {"a.py": "1\n"})
    (root / "way").symlink_to("a.py")
    (root / "way2").hardlink_to(root / "way")
    (root / "z.py").hardlink_to(root / "a.py")
    other = ["--transform=s,^project,./p//.,", "--show-transformed-names", "-P"]
    for number, options in enumerate((["--format=v7"], ["--format=v7", *other])):
        path = tmp_path / f"{number}.tar"
        subprocess.run(["tar", *options, "-C", tmp_path, "-cf", path, "project"], check=True)
        snapshot = open_snapshot(str(path), cache)
        assert names(snapshot.tree) == {"a.py", "way", "way2", "z.py"}
        assert snapshot.skipped == {}
    said = b"".join(record(key, b"") for key in (b"path", b"size", b"linkpath"))
    (tmp_path / "x.tar").write_bytes(header(tarfile.XHDTYPE, said) + one_file())
    assert names(open_snapshot(str(tmp_path / "x.tar"), cache).tree) == {"a.py"}


def test_memory_that_xz_asks_for(tmp_path: Path, cache: Path) -> None:
    """A few bytes may ask for four gigabytes; streams that follow each other, and zeros between them, are read."""
    packed = lzma.compress(one_file())
    path = tmp_path / "x.tar.xz"
    path.write_bytes(lzma.compress(one_file()[:700]) + bytes(8) + lzma.compress(one_file()[700:]) + bytes(12))
    assert open_snapshot(str(path), cache).files == 1
    block = bytearray(packed[12 : 12 + (packed[12] + 1) * 4])
    assert block[2:4] == b"\x21\x01", "LZMA2, whose one property is the size of the dictionary"
    block[4] = 40
    block[-4:] = struct.pack("<I", zlib.crc32(block[:-4]))
    path.write_bytes(packed[:12] + block + packed[12 + len(block) :])
    with pytest.raises(SourceError, match="Memory usage limit"):
        open_snapshot(str(path), cache)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        open_snapshot(str(path), cache)


def test_a_table_of_contents_without_end(tmp_path: Path, cache: Path) -> None:
    entry = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"x"
    )
    noted = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 65_000, 0, 0, 0, 0, 0)
        + b"x"
    )

    def zip_of(contents: bytes, claimed: int) -> bytes:
        start = b"PK\3\4" + bytes(26)
        return start + contents + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, claimed, len(start), 0)

    path = tmp_path / "x.zip"
    limits = SourceLimits(files=1000)
    path.write_bytes(zip_of(entry * 2001, 2001 * len(entry)))
    with pytest.raises(SourceError, match="has 2,001 entries: it may have 2,000"):
        open_snapshot(str(path), cache, limits=limits)
    path.write_bytes(zip_of((noted + bytes(65_000)) * 3, 3 * (len(noted) + 65_000)))
    with pytest.raises(SourceError, match="note of 65,000 bytes"):
        open_snapshot(str(path), cache)
    with path.open("wb") as file:
        file.truncate(300 << 20)  # all zeros, and on most disks none of it
        file.seek(0)
        file.write(b"PK\3\4")
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 200 << 20, 0, 0))
    with pytest.raises(SourceError, match="table of contents of 209,715,200 bytes: it may have 134,217,728"):
        open_snapshot(str(path), cache)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_as_few_are(tmp_path: Path, cache: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("a.py", bytes(50_000_000))
    with pytest.raises(SourceError, match=r"a\.py is packed in a way that sera does not read"):
        open_snapshot(str(tmp_path / "x.zip"), cache)


def test_a_zip_that_lies_of_sizes(tmp_path: Path, cache: Path) -> None:
    for number, said in enumerate((10, 90_000_000, (1 << 32) - 1)):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.py", "x = 1\n")
            archive.writestr("b.py", bytes(3_000_000))
        lying = made.getvalue().replace(struct.pack("<L", 3_000_000), struct.pack("<L", said))
        (tmp_path / f"{number}.zip").write_bytes(lying)
        if said < 1 << 20:
            with pytest.raises(SourceError, match=r"cannot be unpacked: Bad CRC"):
                open_snapshot(str(tmp_path / f"{number}.zip"), cache)
        else:
            reason = "file too large" if said < 1 << 31 else ""
            if reason:
                assert open_snapshot(str(tmp_path / f"{number}.zip"), cache).skipped == {reason: 1}
            else:
                with pytest.raises(SourceError, match="too large for a source"):
                    open_snapshot(str(tmp_path / f"{number}.zip"), cache)


def test_a_zip_whose_entries_overlap(tmp_path: Path, cache: Path) -> None:
    """One packed content that many entries name costs as much as all of them."""
    data = b"\0\0\0\xff\xff" * 1000 + b"\1\1\0\xfe\xffx"  # blocks of nothing, then one byte
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(b"x"), len(data), 1, 1, 0) + b"x"
    facts = (20, 3, 20, 0, 0, 8, 0, 0, zlib.crc32(b"x"), len(data), 1, 1, 0, 0, 0, 0, 0, 0)
    contents = (struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *facts) + b"x") * 100
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, len(contents), len(local) + len(data), 0)
    (tmp_path / "x.zip").write_bytes(local + data + contents + end)
    with pytest.raises(SourceError, match="entries that overlap"):
        open_snapshot(str(tmp_path / "x.zip"), cache)


def test_a_tar_that_ends_in_a_zip(tmp_path: Path, cache: Path) -> None:
    """What it begins with is what it is."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.py", "no\n")
    source = tar(tmp_path / "x.tar", [(member("a.py"), b"1\n"), (member("z.zip"), inner.getvalue())], "w")
    assert names(open_snapshot(source, cache).tree) == {"a.py", "z.zip"}


# ── paths and links ───────────────────────────────────────────────────────────────────────────────

DEEP = "d/" * 1400 + "deep.py"


def deep_folder(root: Path) -> Path:
    """A directory with one very deep file, made step by step."""
    root.mkdir()
    (root / "a.py").write_text("x = 1\n")
    here = os.open(root, os.O_RDONLY)
    for name in DEEP.split("/")[:-1]:
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("deep.py", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    return root


@pytest.mark.parametrize("kind", ["tar", "zip", "folder", "git"])
def test_a_very_deep_path(tmp_path: Path, cache: Path, kind: str) -> None:
    source = tmp_path / "source"
    try:
        if kind == "tar":
            tar(source, [(member("p/a.py"), b"1\n"), (member("p/" + DEEP), b"2\n")])
        elif kind == "zip":
            with zipfile.ZipFile(source, "w") as archive:
                archive.writestr(DEEP, "2\n")
        else:
            deep_folder(source)
        if kind == "git":
            subprocess.run(["git", "init", "-q"], cwd=source, check=True)
        with pytest.raises(
            SourceError, match=r"path of [12],[0-9]{3} bytes, .*d/d/d/d.*… *: it may have 1,024"
        ):
            open_snapshot(str(source), cache)
        assert list((cache / "snapshots").iterdir()) == []
    finally:
        subprocess.run(["rm", "-rf", source], check=True)


def test_the_deepest_path_that_is_taken(tmp_path: Path, cache: Path) -> None:
    name = "d/" * 509 + "a.py"
    snapshot = open_snapshot(
        tar(tmp_path / "x.tar", [(member(name), b"1\n"), (member("b.py"), b"2\n")]), cache
    )
    assert names(snapshot.tree) == {name, "b.py"}
    shutil.rmtree(snapshot.tree)


def test_paths_come_to_too_much(tmp_path: Path, cache: Path) -> None:
    members = [(member("d" * 200 + f"/{n}"), b"") for n in range(300)]
    with pytest.raises(SourceError, match=r"paths in .* come to more than"):
        open_snapshot(tar(tmp_path / "x.tar", members), cache, limits=SourceLimits(paths_bytes=50_000))
    long = [(member("a.py"), b""), (member("way", tarfile.SYMTYPE, "a/" * 3000), b"")]
    with pytest.raises(SourceError, match=r"path of 6,000 bytes"):
        open_snapshot(tar(tmp_path / "y.tar", long), cache)


def test_links_that_lead_through_each_other(tmp_path: Path, cache: Path) -> None:
    """As far as the kernel follows them, and those that it never follows; a ring leads nowhere."""
    chain = [(member("l0", tarfile.SYMTYPE, "a.py"), b"")]
    chain += [(member(f"l{n}", tarfile.SYMTYPE, f"l{n - 1}"), b"") for n in range(1, 1500)]
    ring = [(member("r1", tarfile.SYMTYPE, "r2"), b""), (member("r2", tarfile.SYMTYPE, "./r1"), b"")]
    more = [(member("more", tarfile.SYMTYPE, "more/../more/x"), b"")]
    source = tar(tmp_path / "x.tar", [(member("a.py"), b"1\n"), *chain, *ring, *more])
    snapshot = open_snapshot(source, cache)
    assert names(snapshot.tree) == {"a.py", "r1", "r2", *(f"l{n}" for n in range(40))}
    assert snapshot.skipped == {"link leads outside": 1461}
    wide = [(member(f"{n}", tarfile.SYMTYPE, "./" * 500 + f"{n + 1}"), b"") for n in range(1000)]
    with pytest.raises(SourceError, match="too entangled"):
        open_snapshot(tar(tmp_path / "y.tar", [(member("a.py"), b""), *wide]), cache)


def test_a_repository_of_more_files_than_it_stores(tmp_path: Path, cache: Path) -> None:
    """Ten directories in each of ten levels, which are one directory, once a level."""
    root = write(tmp_path / "bomb", {"a.py": "x = 1\n"})

    def git(*args: str, feed: str = "") -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@t"]
        return subprocess.run(
            ["git", *who, *args], cwd=root, input=feed, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q", "-b", "main")
    entry = "100644 blob " + git("hash-object", "-w", "a.py")
    for _ in range(10):
        tree = git("mktree", feed="".join(f"{entry}\t{n}\n" for n in range(10)))
        entry = f"040000 tree {tree}"
    git("update-ref", "refs/heads/main", git("commit-tree", tree, "-m", "x"))
    with pytest.raises(SourceError, match="too large for a source repository"):
        open_snapshot(str(root), cache, revision="main", limits=SourceLimits(files=5000))
    snapshot = open_snapshot(str(root), cache)
    assert snapshot.dirty
    assert names(snapshot.tree) == {"a.py"}

"""Archives: what comes out, and what an attacker's does not get."""

import io
import os
import tarfile
import zipfile
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

"""Caches without room, paths that are not UTF-8, and files that say odd things."""

import errno
import os
from pathlib import Path

import msgspec
import pytest
from repository_support import git, names, repository, write

from sera.errors import SourceError, UsageError
from sera.repositories import open_snapshot
from sera.repositories.sources import described


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "project", {"a.py": "x = 1\n", "b.py": ""})


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `git` whose `add` does what a script in the file returned says."""
    script = tmp_path / "bin/script"
    real = os.environ["PATH"]
    fake = f'#!/bin/sh\nif [ "$1" = add ]; then . {script}; fi\nPATH="{real}" exec git "$@"\n'
    write(tmp_path / "bin", {"git": fake})
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{real}")
    return script


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EACCES])
def test_a_cache_that_takes_no_more_is_no_left_out_file(
    project: Path, cache: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: bytes) -> int:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SourceError, match="set SERA_CACHE") as failure:
        open_snapshot(str(project), cache)
    assert str(cache) in str(failure.value)
    assert os.strerror(code) in str(failure.value)
    assert list((cache / "snapshots").iterdir()) == []


def test_a_link_that_cannot_be_made_for_want_of_room(
    project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "link").symlink_to("a.py")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(SourceError, match="set SERA_CACHE"):
        open_snapshot(str(project), cache)


def test_a_path_that_cannot_be_is_left_out(
    project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def refuse(path: Path, content: bytes) -> int:
        if path.name == "b.py":
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    snapshot = open_snapshot(str(project), cache)
    assert (names(snapshot.tree), snapshot.skipped) == ({"a.py"}, {"path cannot be written": 1})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'fatal: No space left on device' >&2; exit 128", "No space left"),
        ("kill -KILL $$", "killed by signal 9 "),
        ("kill -XFSZ $$", "File size limit exceeded"),
        ("exit 3", "it said nothing"),
    ],
)
def test_a_git_that_fails_in_the_cache_names_it(
    project: Path, cache: Path, say: Path, script: str, said: str
) -> None:
    say.write_text(script + "\n")
    with pytest.raises(SourceError, match=r"git add failed: .*set SERA_CACHE") as failure:
        open_snapshot(str(project), cache)
    assert said in str(failure.value)
    assert str(cache / "snapshots") in str(failure.value)


def test_a_clone_without_files_says_what_to_do(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "past", {"a.py": ""})
    git(tmp_path, "clone", "--quiet", "--no-checkout", str(root), "bare-ish")
    with pytest.raises(SourceError, match="check out the files, or name a revision"):
        open_snapshot(str(tmp_path / "bare-ish"), cache)
    assert names(open_snapshot(str(tmp_path / "bare-ish"), cache, revision="HEAD").tree) == {"a.py"}


@pytest.mark.parametrize("text", ['tool = "x"', "project = 3", "tool = [1]", "[tool]\npoetry = true", "[["])
def test_an_odd_pyproject_gives_no_name(project: Path, cache: Path, text: str) -> None:
    write(project, {"pyproject.toml": text})
    assert open_snapshot(str(project), cache).name == "project"


@pytest.mark.parametrize("kind", ["plain", "git", "file"])
def test_a_path_that_is_not_utf8_can_be_stored(tmp_path: Path, cache: Path, kind: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write(path, {"a.py": ""})
    if kind != "plain":
        repository(path, {})
    source = f"file://{path}" if kind == "file" else str(path)
    snapshot = open_snapshot(source, cache)
    assert (snapshot.name, snapshot.source) == ("caf\\xe9", source.removesuffix(path.name) + "caf\\xe9")
    assert msgspec.json.encode(snapshot, enc_hook=str)


def test_a_cache_whose_path_is_not_utf8_is_refused(project: Path, tmp_path: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(UsageError, match="not UTF-8: set SERA_CACHE"):
        open_snapshot(str(project), place)
    assert not place.exists()


def test_one_source_has_one_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "project", {"a.py": ""})
    git(root, "bundle", "create", "--quiet", str(tmp_path / "project.bundle"), "HEAD")
    git(root, "archive", "--output", str(tmp_path / "project.tar"), "HEAD")
    (tmp_path / "link").symlink_to("project")
    monkeypatch.chdir(tmp_path)
    ways = {
        str(root): (".", "../project", "./", str(root), str(tmp_path / "link"), "../link/."),
        str(tmp_path / "project.bundle"): ("../project.bundle", "../project/../project.bundle"),
        str(tmp_path / "project.tar"): ("../project.tar", str(tmp_path / "project.tar")),
        root.as_uri(): (root.as_uri(),),
    }
    monkeypatch.chdir(root)
    for one, sources in ways.items():
        for source in sources:
            assert described(source) == one
            assert open_snapshot(source, tmp_path / "cache").source == one
    assert described("https://ann:secret@host/x.git") == "https://host/x.git"
    assert described(str(tmp_path / "gone/../none")) == str(tmp_path / "none")
    with pytest.raises(SourceError, match="malformed"):
        described("http://[broken/x.git")

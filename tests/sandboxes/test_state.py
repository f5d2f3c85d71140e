"""The digest of a whole tree: every file is read once, and again when it may have changed."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sera.sandboxes.inside.state import QUICK, Known, TooMuch, digest
from sera.sandboxes.inside.views import Changes

Look = Callable[[], tuple[str, set[str]]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/folder").mkdir(parents=True)
    for name in ("one", "two", "folder/three"):
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "tree/link").symlink_to("one")
    time.sleep(0.2)
    return tmp_path / "tree"


@pytest.fixture
def look(tree: Path) -> Iterator[Look]:
    """Looks as a child of process 1 would: the digest, and what was read."""
    folder, known = os.open(tree.parent, os.O_RDONLY), Known()
    changes, here = Changes(folder, "tree", whole=True), Path.cwd()

    def look() -> tuple[str, set[str]]:
        child = Known()
        child._before = known._before
        answer = child.look(changes)
        found = known.learn(answer).decode()
        assert found == digest(changes), "what was known is what would be read"
        return found, {Path(path).name for path in json.loads(answer)[1]}

    yield look
    os.close(folder)
    os.chdir(here)


def test_a_file_is_read_once(tree: Path, look: Look) -> None:
    first = look()
    assert first[1] == {"one", "two", "three"}
    assert look() == (first[0], set())
    (tree / "two").rename(tree / "folder/two")
    time.sleep(0.2)
    moved = look()
    assert moved[0] != first[0]
    assert moved[1] == {"two"}


def test_digests_of_before_are_as_they_were(tmp_path: Path) -> None:
    """This one was taken by the sera that left compiled Python and pytest's cache out, and nothing else."""
    tree, here = tmp_path / "tree", Path.cwd()
    for name in ("folder", "__pycache__", ".pytest_cache"):
        (tree / name).mkdir(parents=True)
        (tree / name).chmod(0o755)
    for name in (
        "one",
        "folder/two",
        "coverage.xml",
        ".coverage",
        "__pycache__/a",
        ".pytest_cache/b",
        "c.pyc",
    ):
        (tree / name).write_text(name)
        (tree / name).chmod(0o644)
    folder = os.open(tmp_path, os.O_RDONLY)
    assert digest(Changes(folder, "tree", whole=True)) == "fd093e8504035c4a"
    os.close(folder)
    os.chdir(here)


def test_no_link_on_the_way_is_followed(tree: Path) -> None:
    """Process 1 looks with more rights than those have who may put a link in the place of a directory."""
    (tree.parent / "way").symlink_to("tree")
    folder, here = os.open(tree.parent, os.O_RDONLY), Path.cwd()

    def found(top: str) -> str:
        return digest(Changes(folder, top, whole=True))

    nothing = found("missing")
    assert found("tree/folder") != nothing
    assert [found(top) for top in ("way", "way/folder", "tree/link")] == [nothing] * 3
    os.close(folder)
    os.chdir(here)


def test_size_and_time_may_stay(tree: Path, look: Look) -> None:
    seen = {look()[0]}
    for content in ("ONE", "Two", "San"):
        kept = (tree / "one").stat()
        (tree / "one").write_text(content)
        os.utime(tree / "one", ns=(kept.st_atime_ns, kept.st_mtime_ns))
        seen.add(look()[0])
    (tree / "new").write_text("XYZ")
    os.utime(tree / "new", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (tree / "new").replace(tree / "one")
    seen.add(look()[0])
    assert len(seen) == 5


def test_what_has_just_changed_is_not_believed(tree: Path, look: Look) -> None:
    look()
    (tree / "one").write_text("new")
    assert "one" not in look()[1]
    time.sleep(0.2)
    assert "one" in look()[1]


def test_a_directory_without_end_is_not_listed(tree: Path) -> None:
    """Process 1 leaves it to a child before it holds all of it, also if no name in it counts."""
    for number in range(3000):
        (tree / f"folder/{number}.pyc").touch()
    folder, here = os.open(tree.parent, os.O_RDONLY), Path.cwd()
    with pytest.raises(TooMuch):
        digest(Changes(folder, "tree", whole=False), QUICK)
    os.close(folder)
    os.chdir(here)


def test_what_is_learnt_is_bounded(tree: Path) -> None:
    """The answer goes to process 1, and the paths in it are the commands'."""
    deep = tree / "/".join(["d" * 250] * 14)
    deep.mkdir(parents=True)
    for number in range(6000):
        (deep / f"{number}").touch()
    time.sleep(0.2)
    folder, here = os.open(tree.parent, os.O_RDONLY), Path.cwd()
    assert len(Known().look(Changes(folder, "tree", whole=True))) < 18 << 20
    os.close(folder)
    os.chdir(here)

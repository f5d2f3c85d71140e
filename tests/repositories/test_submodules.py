"""Submodules that are checked out are part of a snapshot, and no other repository is."""

from pathlib import Path

import pytest
from repository_support import git, image, names, repository, write

from sera.repositories import open_snapshot


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with a submodule in `lib/one`, which has one in `two`."""
    two = repository(tmp_path / "two", {"deep.py": "two = 2\n"})
    one = repository(tmp_path / "one", {"one.py": "one = 1\n", ".gitignore": "*.log\n"})
    git(one, "submodule", "--quiet", "add", str(two), "two")
    git(one, "commit", "--quiet", "-m", "with another")
    root = repository(tmp_path / "project", {"a.py": ""})
    git(root, "submodule", "--quiet", "add", str(one), "lib/one")
    git(root, "submodule", "--quiet", "update", "--init", "--recursive")
    git(root, "commit", "--quiet", "-m", "with submodules")
    return root


WHOLE = {
    "a.py",
    ".gitmodules",
    "lib/one/one.py",
    "lib/one/.gitignore",
    "lib/one/.gitmodules",
    "lib/one/two/deep.py",
}


def test_their_files_are_in_a_snapshot_of_tree_and_commit(project: Path, tmp_path: Path) -> None:
    before = image(project)
    snapshot = open_snapshot(str(project), tmp_path / "cache")
    assert names(snapshot.tree) == WHOLE
    assert not snapshot.dirty
    assert not snapshot.skipped
    assert open_snapshot(str(project), tmp_path / "cache", revision="HEAD").commit == snapshot.commit
    below = open_snapshot(str(project / "lib"), tmp_path / "cache")
    assert names(below.tree) == {name.removeprefix("lib/") for name in WHOLE if name.startswith("lib/")}
    assert not below.dirty
    assert image(project) == before


def test_a_change_in_one_is_a_change(project: Path, tmp_path: Path) -> None:
    write(project / "lib/one", {"one.py": "one = 11\n", "new.py": "", "noise.log": ""})
    snapshot = open_snapshot(str(project), tmp_path / "cache")
    assert names(snapshot.tree) == WHOLE | {"lib/one/new.py"}
    assert snapshot.dirty
    then = open_snapshot(str(project), tmp_path / "cache", revision="HEAD")
    assert (then.tree / "lib/one/one.py").read_text() == "one = 1\n"
    assert names(then.tree) == WHOLE


def test_one_that_is_not_there_is_counted(project: Path, tmp_path: Path) -> None:
    git(project, "submodule", "--quiet", "deinit", "--force", "lib/one")
    for revision in (None, "HEAD"):
        snapshot = open_snapshot(str(project), tmp_path / "cache", revision=revision)
        assert names(snapshot.tree) == {"a.py", ".gitmodules"}
        assert list(snapshot.skipped.values()) == [1]
        assert not snapshot.dirty


def test_in_a_second_working_tree(project: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "--quiet", str(tmp_path / "second"))
    git(tmp_path / "second", "submodule", "--quiet", "update", "--init", "--recursive")
    assert names(open_snapshot(str(tmp_path / "second"), tmp_path / "cache").tree) == WHOLE


@pytest.mark.parametrize("kind", ["pointer", "link", "path"])
def test_another_repository_of_this_machine_is_none(project: Path, tmp_path: Path, kind: str) -> None:
    """As what was unpacked from an archive might have it."""
    private = repository(tmp_path / "private", {"secret.py": "key\n"})
    commit = git(private, "rev-parse", "HEAD")
    place = "lib/mine" if kind != "path" else "lib/../../private"
    if kind == "pointer":
        write(project / place, {".git": f"gitdir: {private}/.git\n", "secret.py": ""})
    elif kind == "link":
        (project / place).symlink_to(private)
    if kind != "path":
        git(project, "update-index", "--add", "--cacheinfo", f"160000,{commit},{place}")
        git(project, "commit", "--quiet", "-m", "more")
    else:
        tree = git(project, "write-tree")
        inner = _tree(project, f"160000 commit {commit}\tprivate")
        outer = _tree(project, f"040000 tree {inner}\t..")
        root = _tree(project, f"040000 tree {outer}\t..", f"040000 tree {tree}\tx")
        git(project, "update-ref", "HEAD", git(project, "commit-tree", root, "-m", "odd"))
    for revision in (None, "HEAD"):
        found = open_snapshot(str(project), tmp_path / "cache", revision=revision).tree
        assert not list(found.rglob("secret.py"))


def _tree(root: Path, *rows: str) -> str:
    file = root.parent / "rows"
    file.write_text("".join(f"{row}\n" for row in rows))
    return git(root, "-c", "alias.from=!git mktree --missing <", "from", str(file))

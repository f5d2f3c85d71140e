"""What a snapshot takes from each kind of source, and what it never does to the source."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from repository_support import git, image, names, repository, write

from sera.errors import SourceError, UsageError
from sera.repositories import SourceLimits, open_snapshot
from sera.repositories import snapshots as snapshots_module
from sera.settings import default_cache


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_plain_directory_leaves_out_what_is_never_source(tmp_path: Path, cache: Path) -> None:
    root = write(
        tmp_path / "plain",
        {
            "a.py": "x = 1\n",
            "pkg/b.py": "",
            "pkg.egg-info/PKG-INFO": "",
            "pkg/__pycache__/b.pyc": b"",
            "node_modules/x.js": "",
            "env/pyvenv.cfg": "",
            "env/lib/site.py": "",
            ".hidden": "",
        },
    )
    snapshot = open_snapshot(str(root), cache)
    assert names(snapshot.tree) == {"a.py", "pkg/b.py", "pkg.egg-info/PKG-INFO", ".hidden"}
    assert (snapshot.kind, snapshot.name, snapshot.origin_commit, snapshot.dirty) == (
        "directory",
        "plain",
        "",
        False,
    )
    assert snapshot.files == 4
    assert snapshot.layer.commit == snapshot.commit
    assert sum(snapshot.skipped.values()) == 3


def test_working_tree_as_it_stands(tmp_path: Path, cache: Path) -> None:
    root = repository(
        tmp_path / "project",
        {
            "a.py": "old\n",
            "gone.py": "",
            ".gitignore": "*.log\nbuild/\n",
            "kept.log": "tracked though ignored",
        },
    )
    write(root, {"a.py": "new\n", "untracked.py": "", "noise.log": "", "build/x": ""})
    (root / "gone.py").unlink()
    snapshot = open_snapshot(str(root), cache)
    assert names(snapshot.tree) == {"a.py", ".gitignore", "kept.log", "untracked.py"}
    assert (snapshot.tree / "a.py").read_text() == "new\n"
    assert snapshot.kind == "git"
    assert snapshot.dirty
    assert snapshot.origin_commit == git(root, "rev-parse", "HEAD")


def test_clean_checkout_is_not_dirty_and_a_commit_can_be_named(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "project", {"a.py": "1\n", "b/run.sh": "#!/bin/sh\n"})
    first = git(root, "rev-parse", "HEAD")
    (root / "b/run.sh").chmod(0o755)
    (root / "link").symlink_to("b/run.sh")
    repository(root, {"a.py": "2\n"}, "second")
    now = open_snapshot(str(root), cache)
    assert not now.dirty
    assert now.tree_hash == git(root, "rev-parse", "HEAD^{tree}")
    assert os.access(now.tree / "b/run.sh", os.X_OK)
    assert (now.tree / "link").readlink() == Path("b/run.sh")
    then = open_snapshot(str(root), cache, revision="HEAD~1")
    assert (then.origin_commit, then.dirty) == (first, False)
    assert then.tree_hash == git(root, "rev-parse", first + "^{tree}")
    write(root, {"a.py": "3\n"})
    assert open_snapshot(str(root), cache).dirty
    assert open_snapshot(str(root), cache, revision="HEAD").commit == now.commit


def test_subdirectory(tmp_path: Path, cache: Path) -> None:
    root = repository(
        tmp_path / "mono", {"top.py": "", "one/.x/a.py": "", "one/b.py": "", ".github/c.py": ""}
    )
    sub = open_snapshot(str(root / "one"), cache)
    assert names(sub.tree) == {".x/a.py", "b.py"}
    assert not sub.dirty
    assert open_snapshot(str(root / "one"), cache, revision="main").commit == sub.commit
    assert names(open_snapshot(str(root / ".github"), cache, revision="main").tree) == {"c.py"}


def test_ignored_directory_inside_a_repository_is_read_as_plain(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "outer", {".gitignore": "inner/\n"})
    write(root / "inner", {"a.py": ""})
    snapshot = open_snapshot(str(root / "inner"), cache)
    assert (snapshot.kind, names(snapshot.tree)) == ("directory", {"a.py"})


@pytest.mark.parametrize("name", ["../../up", "a/b", "a\\nb", "\\u001b[2J", "a" * 201])
def test_a_project_s_name_that_is_a_path_is_none(tmp_path: Path, cache: Path, name: str) -> None:
    root = repository(tmp_path / "proj", {"a.py": "1\n", "pyproject.toml": f'[project]\nname = "{name}"\n'})
    assert open_snapshot(str(root), cache).name == "proj"


@pytest.mark.parametrize("form", ["bare", "file", "file-bare", "bundle", "worktree"])
def test_other_forms_of_repository(tmp_path: Path, cache: Path, form: str) -> None:
    root = repository(tmp_path / "proj", {"a.py": "1\n", "pyproject.toml": '[project]\nname = "real-name"\n'})
    git(root, "clone", "--quiet", "--bare", ".", str(tmp_path / "proj.git"))
    git(root, "bundle", "create", "--quiet", str(tmp_path / "proj.bundle"), "HEAD", "main")
    git(root, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    write(root, {"a.py": "changed\n"})
    source = {
        "bare": str(tmp_path / "proj.git"),
        "file": (tmp_path / "proj").as_uri(),
        "file-bare": (tmp_path / "proj.git").as_uri(),
        "bundle": str(tmp_path / "proj.bundle"),
        "worktree": str(tmp_path / "linked"),
    }[form]
    snapshot = open_snapshot(source, cache)
    assert (snapshot.tree / "a.py").read_text() == "1\n"
    assert (snapshot.kind, snapshot.name, snapshot.dirty) == ("git", "real-name", False)
    assert snapshot.origin_commit == git(root, "rev-parse", "HEAD")


def test_history_is_not_reachable(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "project", {"a.py": "the answer\n"})
    git(root, "tag", "v1")
    repository(root, {"a.py": "the question\n"}, "second")
    for revision in (None, "HEAD"):
        tree = open_snapshot(str(root), cache, revision=revision).tree
        assert git(tree, "log", "--all", "--format=%an %s") == "sera Snapshot"
        assert git(tree, "fsck", "--unreachable", "--lost-found") == ""
        assert git(tree, "reflog") == ""
        assert git(tree, "remote") == ""
        assert git(tree, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        objects = git(tree, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
        assert sorted(objects) == ["blob", "commit", "tree"]
        assert not any(
            b"the answer" in path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()
        )


def test_checkout_is_not_touched(tmp_path: Path, cache: Path) -> None:
    root = repository(
        tmp_path / "project", {"a.py": "1\n", "b.py": "2\n", ".gitattributes": "*.py text eol=crlf\n"}
    )
    os.utime(root / "a.py", (1, 1))  # the index's time stamp no longer fits: a refresh would rewrite it
    write(root, {"b.py": "3\n", "new.py": ""})
    before = image(root)
    open_snapshot(str(root), cache)
    open_snapshot(str(root), cache, revision="HEAD")
    open_snapshot(root.as_uri(), cache)
    assert image(root) == before


def test_content_is_kept_byte_for_byte(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str | bytes] = {
        ".gitattributes": "*.txt text eol=crlf\n*.py ident filter=up\n*.enc working-tree-encoding=UTF-16\n"
        "secret.py export-ignore\n*.sub export-subst\n*.bin -diff\n",
        "a.txt": b"one\r\ntwo\n",
        "id.py": "# $Id$\n",
        "u.enc": "no utf-16",
        "secret.py": "",
        "v.sub": "$Format:%H$\n",
    }
    user = write(tmp_path, {"gitconfig": '[core]\n\tautocrlf = true\n[filter "up"]\n\tclean = tr a-z A-Z\n'})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user / "gitconfig"))
    root = write(tmp_path / "project", files)
    git(root, "init", "--quiet")
    snapshot = open_snapshot(str(root), cache)
    for name, content in files.items():
        assert (snapshot.tree / name).read_bytes() == (
            content if isinstance(content, bytes) else content.encode()
        )
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "status", "--porcelain"],
        cwd=snapshot.tree,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""


def test_equal_content_gives_an_equal_snapshot(tmp_path: Path, cache: Path) -> None:
    one = write(tmp_path / "one", {"a.py": "1\n", "b/c.py": ""})
    two = write(tmp_path / "two", {"b/c.py": "", "a.py": "1\n"})
    two.chmod(0o700)
    (two / "a.py").chmod(0o600)
    first, second = open_snapshot(str(one), cache), open_snapshot(str(two), tmp_path / "other")
    assert (first.commit, first.tree_hash) == (second.commit, second.tree_hash)
    assert first.tree.name == "tree"
    assert first.tree.parent.name == first.tree_hash
    assert (second.tree / "a.py").stat().st_mode & 0o777 == 0o644
    assert second.tree.parent.stat().st_mode & 0o777 == 0o755
    assert {path.lstat().st_mtime for path in first.tree.glob("*.py")} == {1_577_836_800}


def test_many_at_once_and_interrupted(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "one", {f"{n}.py": str(n) for n in range(30)})
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: open_snapshot(str(root), cache), range(4)))
    assert len({snapshot.commit for snapshot in made}) == 1
    assert [path.name for path in (cache / "snapshots").iterdir()] == [made[0].tree_hash]

    def interrupted(_: Path) -> tuple[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshots_module, "_record", interrupted)
    write(root, {"more.py": ""})
    with pytest.raises(KeyboardInterrupt):
        open_snapshot(str(root), cache)
    assert [path.name for path in (cache / "snapshots").iterdir()] == [made[0].tree_hash]


def test_a_damaged_snapshot_is_made_again_and_leftovers_are_swept(tmp_path: Path, cache: Path) -> None:
    root = write(tmp_path / "one", {"a.py": "1\n"})
    snapshot = open_snapshot(str(root), cache)
    (snapshot.tree / "a.py").write_text("damage\n")
    stale = cache / "snapshots/.building-old"
    stale.mkdir()
    os.utime(stale, (1, 1))
    assert open_snapshot(str(root), cache).tree == snapshot.tree
    assert (snapshot.tree / "a.py").read_text() == "1\n"
    assert not stale.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a tree away")
def test_a_snapshot_owned_by_another_user_is_still_good(tmp_path: Path, cache: Path) -> None:
    root = write(tmp_path / "one", {"a.py": "1\n"})
    snapshot = open_snapshot(str(root), cache)
    for path in (snapshot.tree, *snapshot.tree.rglob("*")):
        os.chown(path, 12345, 12345)
    inode = snapshot.tree.stat().st_ino
    assert open_snapshot(str(root), cache) == snapshot
    assert snapshot.tree.stat().st_ino == inode


def test_odd_things_are_counted(tmp_path: Path, cache: Path) -> None:
    sub = repository(tmp_path / "sub", {"s.py": ""})
    root = repository(
        tmp_path / "project",
        {
            "a.py": "",
            "d/x.py": "",
            "big.bin": b"x" * 2000,
            "lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        },
    )
    git(root, "submodule", "--quiet", "add", str(sub), "mod")
    git(root, "submodule", "--quiet", "deinit", "--force", "mod")
    for name, target in (
        ("inside", "d/x.py"),
        ("dangling", "d/none"),
        ("up", "../project/a.py"),
        ("abs", "/etc/passwd"),
        ("d/deep", ".."),
        ("chain", "d/deep/.."),
        ("dotgit", ".git/config"),
    ):
        (root / name).symlink_to(target)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.py")).write_text("")
    os.mkfifo(root / "pipe")
    for revision in (None, "HEAD"):
        if revision:
            (root / "pipe").unlink()
            repository(root, {}, "all of it")
        snapshot = open_snapshot(str(root), cache, revision, SourceLimits(file_bytes=1000))
        assert names(snapshot.tree) == {
            ".gitmodules",
            "a.py",
            "d/x.py",
            "lfs.bin",
            "inside",
            "dangling",
            "d/deep",
        }
        skipped = dict(snapshot.skipped)
        assert skipped.pop("submodule" if revision else "submodule or nested repository") == 1
        assert skipped == {
            "content of a git-lfs pointer": 1,
            "file too large": 1,
            "link leads outside": 4,
            "name is not UTF-8": 1,
        }
    assert not open_snapshot(str(root), cache, None, SourceLimits(file_bytes=1000)).dirty


@pytest.mark.parametrize("kind", ["worktree", "commit", "plain", "tar"])
def test_what_is_left_out_is_no_part_of_it(tmp_path: Path, cache: Path, kind: str) -> None:
    files = {"a.py": "", "docs/a.csv": "", "data/x/big.bin": b"x" * 2000, "data/y.csv": "", "pkg/z.csv": ""}
    root = repository(tmp_path / "project", files)
    source = str(root)
    if kind == "plain":
        shutil.rmtree(root / ".git")
    if kind == "tar":
        source = str(tmp_path / "p.tar")
        git(root, "archive", "--prefix=p-1/", "--output", source, "HEAD")
    revision = "HEAD" if kind == "commit" else None
    limits = SourceLimits() if kind == "tar" else SourceLimits(total_bytes=1000)
    snapshot = open_snapshot(source, cache, revision, limits, leave_out=("/data", "*.csv"))
    assert names(snapshot.tree) == {"a.py"}
    assert {one.name for one in snapshot.tree.iterdir()} <= {"a.py", ".git", "docs", "pkg"}
    assert not snapshot.dirty
    assert snapshot.skipped["left out by a pattern"] >= 3
    assert snapshot.tree_hash == open_snapshot(str(write(tmp_path / "same", {"a.py": ""})), cache).tree_hash
    if kind == "worktree":
        write(root, {"a.py": "changed"})
        assert open_snapshot(source, cache, leave_out=("data", "*.csv")).dirty


def test_repository_without_commits(tmp_path: Path, cache: Path) -> None:
    root = write(tmp_path / "young", {"a.py": ""})
    git(root, "init", "--quiet")
    snapshot = open_snapshot(str(root), cache)
    assert (snapshot.origin_commit, snapshot.dirty, names(snapshot.tree)) == ("", True, {"a.py"})
    with pytest.raises(SourceError, match="no commit yet"):
        open_snapshot(root.as_uri(), cache)


def test_errors_name_the_thing_and_the_cure(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "project", {"a.py": ""})
    plain = write(tmp_path / "plain", {"a.py": "", "b.py": ""})
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="does not exist"):
        open_snapshot(str(tmp_path / "none"), cache)
    with pytest.raises(SourceError, match="no archive"):
        open_snapshot(str(plain / "a.py"), cache)
    with pytest.raises(UsageError, match="no repository named"):
        open_snapshot("", cache)
    with pytest.raises(SourceError, match="malformed"):
        open_snapshot("~no-such-user/x", cache)
    with pytest.raises(SourceError, match="holds no files"):
        open_snapshot(str(tmp_path / "empty"), cache)
    with pytest.raises(SourceError, match="too large"):
        open_snapshot(str(plain), cache, limits=SourceLimits(files=1))
    with pytest.raises(SourceError, match="no revision 'v9'"):
        open_snapshot(str(root), cache, revision="v9")
    with pytest.raises(UsageError, match="not under git"):
        open_snapshot(str(plain), cache, revision="HEAD")
    with pytest.raises(UsageError, match="is no revision"):
        open_snapshot(str(root), cache, revision="--output=x")
    (root / ".git/index").write_bytes(b"garbage")
    with pytest.raises(SourceError, match="cannot be read"):
        open_snapshot(str(root), cache)
    assert list((cache / "snapshots").iterdir()) == []


def test_the_caller_s_git_environment_is_ignored(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other", {"wrong.py": ""})
    root = repository(tmp_path / "project", {"a.py": ""})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert names(open_snapshot(str(root), cache).tree) == {"a.py"}


def test_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert default_cache() == Path("/one")
    monkeypatch.delenv("SERA_CACHE")
    assert default_cache() == Path("/two/sera")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/sera"


def hostile(root: Path, trap: str) -> None:
    """Set every setting of a repository's own that names a program."""
    write(root, {".gitattributes": "* filter=evil diff=evil\n"})
    hooks = root / "hooks-of-mine"
    for hook in ("post-index-change", "reference-transaction", "post-checkout", "pre-auto-gc", "post-commit"):
        write(hooks, {hook: f"#!/bin/sh\n{trap}\n"})
        (hooks / hook).chmod(0o755)
        shutil.copy(hooks / hook, root / ".git/hooks" / hook)
    for key in (
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.external",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.gitProxy",
        "gpg.program",
        "core.alternateRefsCommand",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "alias.ls-files",
        "remote.origin.uploadpack",
        "core.askPass",
    ):
        git(root, "config", key, trap if key != "credential.helper" else "!" + trap)
    git(root, "config", "core.hooksPath", str(hooks))
    git(root, "config", "core.worktree", "/etc")
    git(root, "config", "filter.evil.required", "true")


def test_nothing_in_a_hostile_configuration_runs(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "project", {"a.py": "1\n", "b.py": "2\n"})
    git(root, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    mark = tmp_path / "mark"
    script = write(tmp_path, {"trap.sh": f"#!/bin/sh\ntouch {mark}\ncat\n"}) / "trap.sh"
    script.chmod(0o755)
    hostile(root, str(script))
    shutil.copy(root / ".git/config", tmp_path / "bare.git/config")
    git(tmp_path, "config", "--file", "bare.git/config", "--unset", "core.worktree")
    os.utime(root / "a.py", (1, 1))
    mark.unlink(missing_ok=True)
    for source, revision in (
        (str(root), None),
        (str(root), "HEAD"),
        (root.as_uri(), None),
        (str(tmp_path / "bare.git"), None),
    ):
        snapshot = open_snapshot(source, cache, revision=revision)
        assert {"a.py", "b.py"} <= names(snapshot.tree)
        assert not mark.exists()
    assert "trap" not in (snapshot.tree / ".git/config").read_text()
    with suppress(subprocess.CalledProcessError):
        git(root, f"--work-tree={root}", "status")
    assert mark.exists()  # the trap works on whoever is not careful


def test_a_missing_object_of_a_partial_clone_is_not_fetched(tmp_path: Path, cache: Path) -> None:
    root = repository(tmp_path / "project", {"a.py": "1\n", "b.py": "2\n"})
    mark = tmp_path / "mark"
    blob = git(root, "rev-parse", "HEAD:b.py")
    (root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "ssh://host/x"),
        ("core.sshCommand", f"touch {mark};"),
        ("remote.origin.uploadpack", f"touch {mark};"),
    ):
        git(root, "config", key, value)
    for url in ("ssh://host/x", f"ext::sh -c 'touch {mark}'", str(tmp_path)):
        git(root, "config", "remote.origin.url", url)
        snapshot = open_snapshot(str(root), cache, revision="HEAD")
        assert names(snapshot.tree) == {"a.py"}
        assert snapshot.skipped == {"object missing from the repository": 1}
    assert not mark.exists()


def test_reading_a_repository_needs_no_sandbox() -> None:
    code = "import sys, sera.repositories; sys.exit('sera.sandboxes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_links_are_taken_as_they_are_written(tmp_path: Path) -> None:
    """A checkout and its commit are one snapshot, also where a link ends in `/` or is written oddly."""
    root = repository(tmp_path / "r", {"a/x.py": "x = 1\n"})
    for name, target in (("b", "a/"), ("c", "./a//x.py")):
        os.symlink(target, root / name)  # noqa: PTH211
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "links")
    checkout = open_snapshot(str(root), tmp_path / "cache")
    commit = open_snapshot(str(root), tmp_path / "cache", revision="HEAD")
    assert not checkout.dirty
    assert checkout.tree_hash == commit.tree_hash
    assert os.readlink(checkout.tree / "b") == "a/"  # noqa: PTH115

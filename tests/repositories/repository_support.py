"""Small repositories for the tests, made with plain git."""

import os
import subprocess
from pathlib import Path

IDENTITY = {
    f"GIT_{role}_{fact}": value
    for role in ("AUTHOR", "COMMITTER")
    for fact, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"), ("DATE", "1600000000 +0000"))
}


def git(cwd: Path, *args: str) -> str:
    """Run git as a user would, away from this machine's own settings."""
    env = os.environ | IDENTITY | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    trusted = ["-c", "safe.directory=*", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *trusted, *args], cwd=cwd, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Create files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def repository(root: Path, files: dict[str, str | bytes], message: str = "first") -> Path:
    """A git repository with one more commit that holds `files`."""
    write(root, files)
    if not (root / ".git").exists():
        git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)
    return root


def names(tree: Path) -> set[str]:
    """Paths of all files and links in a snapshot's tree."""
    return {
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if ".git" not in path.relative_to(tree).parts and (path.is_symlink() or not path.is_dir())
    }


def image(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything about every file that a reader must not change, `.git` included."""
    found = {}
    for path in (root, *root.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (facts.st_mode, facts.st_mtime_ns, facts.st_size, content)
    return found

"""The tree of a prepared snapshot: its files, and beside them those that the build made.

The snapshot's files are the same ones, linked, since neither tree is ever written to. What was made stands in
`.git/info/exclude`, path by path, so that neither `git status` nor a patch shows it, and everything that a
rollout adds is still seen.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sera.records import Layer
from sera.repositories.staging import MODIFIED


def make_layer(snapshot: Layer, made: Mapping[str, bytes], tree: Path) -> tuple[str, ...]:
    """Make the tree at `tree`; the paths of those of `made` that are in it, sorted.

    A file that the snapshot has is the snapshot's, whatever the build says.
    """
    _link(snapshot.tree, tree)
    kept = tuple(sorted(path for path, content in made.items() if _add(tree, path, content)))
    exclude = tree / ".git" / "info" / "exclude"
    exclude.unlink(missing_ok=True)
    exclude.write_text("".join(f"/{_pattern(path)}\n" for path in kept), "utf-8")
    return kept


def _link(source: Path, target: Path) -> None:
    target.mkdir()
    for folder, names, files in os.walk(source):
        here = target / os.path.relpath(folder, source)
        for name in names:
            path = Path(folder, name)
            if path.is_symlink():
                (here / name).symlink_to(os.readlink(path))  # noqa: PTH115
            else:
                (here / name).mkdir()
        for name in files:
            path = Path(folder, name)
            if path.is_symlink():
                (here / name).symlink_to(os.readlink(path))  # noqa: PTH115
            else:
                (here / name).hardlink_to(path)


def _add(tree: Path, path: str, content: bytes) -> bool:
    file = tree / path
    if file.exists() or file.is_symlink() or not file.parent.resolve().is_relative_to(tree.resolve()):
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):  # the snapshot has a file where the build has a folder
        return False
    file.write_bytes(content)
    file.chmod(0o755 if content.startswith((b"\x7fELF", b"#!")) else 0o644)
    os.utime(file, (MODIFIED, MODIFIED))
    return True


def _pattern(path: str) -> str:
    """The path as a pattern that matches it alone."""
    return re.sub(r"([*?\[\\#! ])", r"\\\1", path)

"""Folders of strangers, which may be deeper than Python recurses."""

import os
import subprocess
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from sera.datasets.exchange.imports import _find
from sera.environments.copies import _copies, replace_copies
from sera.environments.store import building
from sera.untrusted import below, decode

LEVELS = 1100


def make_deep(root: Path, file: str) -> Path:
    """`root/d/d/…/<file>`, made step by step as archivers do."""
    root.mkdir(parents=True)
    here = os.open(root, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    return root


@pytest.mark.parametrize("text", ["[],", "{},", "[[[]]],", "1,", '"",', '["",""],', '{"":{}},'])
def test_what_would_grow_many_times_is_not_read(text: str) -> None:
    bomb = f"[{text * (8_000_000 // len(text))}0]"
    tracemalloc.start()
    for form in (bomb, bomb.encode(), memoryview(bomb.encode())):
        with pytest.raises(msgspec.DecodeError, match="too many parts"):
            decode(form)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * len(bomb)


def test_what_is_large_and_no_bomb_is_read() -> None:
    code = "def f(a, b=[1, 2], **more):\n    return {'a': a, 'b': [b[0], more]}\n" * 100_000
    for value in (
        {"content": code},
        [code] * 2,
        list(range(400_000)),
        [["a", "b"]] * 100_000,
    ):
        assert decode(msgspec.json.encode(value)) == value


def test_walks_are_as_deep_as_folders(tmp_path: Path) -> None:
    deep = make_deep(tmp_path / "deep", "x.traj")
    (deep / "ring").symlink_to(deep)
    (deep / "closed").mkdir(mode=0)
    try:
        assert len(list(below(deep))) == LEVELS + 3
        assert [path.name for _, path in _find([deep], (".traj",))] == ["x.traj"]
        assert list(_copies(deep, "pkg")) == []
        assert list(below(tmp_path / "missing")) == []
    finally:
        subprocess.run(["rm", "-rf", deep], check=True)


def test_what_a_package_left_deep_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "environment", "x.py")
    with building(tmp_path / "environment"):
        assert list((tmp_path / "environment").iterdir()) == []


def test_a_deep_copy_of_the_project_is_replaced(tmp_path: Path) -> None:
    copy = tmp_path / "lib/python3.11/site-packages/other/_vendor/mine"
    make_deep(copy, "x.py")
    try:
        assert len(replace_copies(tmp_path, {"mine": "/testbed/mine"})) == 1
        assert copy.readlink() == Path("/testbed/mine")
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "lib"], check=True)

"""Bugs in sources of every kind of line end, with marks and in other encodings: no byte but those of the bug."""

import asyncio
import codecs
from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments import Environment, prepare
from sera.evaluation.tasks.bugs import apply_bug, find_bugs, is_changeable
from sera.evaluation.tasks.build import FIXED, build
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.record import Instance, read_instances, read_manifest
from sera.evaluation.tasks.resolving import resolve, task_backend
from sera.evaluation.tasks.trees import find_environment, start_layer
from sera.repositories import open_snapshot
from sera.sandboxes import NamespacesConfig
from sera.settings import load_config

pytestmark = pytest.mark.usefixtures("machine")
SOURCE = """\
\"\"\"Gr\u00f6\u00dfen.\"\"\"


def grow(size, more=1):
    # gr\u00f6\u00dfer
    if size < 0:
        raise ValueError("zu klein: \u00e4")
    result = size + more
    return result
"""
PLAIN = SOURCE.encode()
KINDS = {
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "cr": PLAIN.replace(b"\n", b"\r"),
    "mixed": PLAIN.replace(b"\n", b"\r\n", 4),
    "bom": codecs.BOM_UTF8 + PLAIN,
    "feed": PLAIN.replace(b"\n\n\n", b"\n\f\n\n"),
    "latin": b"# -*- coding: latin-1 -*-\n" + SOURCE.encode("latin-1"),
    "japanese": "# coding: shift_jis\n{}".format(
        SOURCE.translate(dict.fromkeys(map(ord, "\u00f6\u00df\u00e4"), "\u8868"))
    ).encode("shift_jis"),
}
UNKNOWN = b"# coding: utf-7\n" + PLAIN.replace("\u00f6\u00df".encode(), b"").replace(
    "\u00e4".encode(), b""
).replace(b"+", b"+-")
TESTS = """\
import unittest

import sizes.{kind}


class Test{kind}(unittest.TestCase):
    def test_grow(self):
        self.assertEqual(sizes.{kind}.grow(1), 2)

    def test_more(self):
        self.assertEqual(sizes.{kind}.grow(1, 3), 4)

    def test_small(self):
        with self.assertRaises(ValueError):
            sizes.{kind}.grow(-1)

    def test_nothing(self):
        self.assertEqual(sizes.{kind}.grow(0), 1)
"""


def same(one: bytes, other: bytes) -> int:
    """Bytes that two begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_bytes_of_a_bug_change(kind: str) -> None:
    content = KINDS[kind]
    bugs = find_bugs(content, 5 if b"coding" in content else 4, seed=0, most=99)
    assert len(bugs) > 5
    for bug in bugs:
        bad = apply_bug(content, bug)
        start = same(content, bad)
        end = same(content[start:][::-1], bad[start:][::-1])
        assert len(content) - start - end <= bug.end - bug.start
        assert len(bad) - start - end <= len(bug.text.encode())
        compile(bad, kind, "exec")


def test_a_file_that_could_not_be_written_back_is_told() -> None:
    compile(UNKNOWN, "unknown", "exec")
    assert not is_changeable(UNKNOWN)
    assert all(map(is_changeable, KINDS.values()))


def test_a_set_of_them(tmp_path: Path) -> None:
    """Each is a task, which the build has judged; what could not be written back is counted, and not held
    out. Test files are read as well."""
    sources = {kind: KINDS[kind] for kind in ("cr", "crlf", "bom", "latin")} | {"unknown": UNKNOWN}
    tests = {kind: TESTS.format(kind=kind).encode() for kind in sources}
    tests["latin"] = "# coding: latin-1\n# gr\u00f6\u00dfer\n".encode("latin-1") + tests["latin"]
    tests["crlf"] = codecs.BOM_UTF8 + tests["crlf"].replace(b"\n", b"\r\n")
    empty = {"sizes/__init__.py": "", "tests/__init__.py": ""}
    project = {"pyproject.toml": '[project]\nname = "sizes"\nversion = "1"\n'}
    root = write_tree(tmp_path / "sizes", empty | project)
    for kind, content in sources.items():
        (root / "sizes" / f"{kind}.py").write_bytes(content)
        (root / "tests" / f"test_{kind}.py").write_bytes(tests[kind])
    pairs = ["mutants=4", "history=0", "split.share=1", "per_function=1", "tries=20"]
    settings = load_config(TasksConfig, pairs=pairs)
    prepare(open_snapshot(str(root)), settings.prepare)
    out = tmp_path / "tasks"
    asyncio.run(build(str(root), out, settings))
    assert {one.path for one in read_instances(out)} == {f"sizes/{kind}.py" for kind in sources} - {
        "sizes/unknown.py"
    }
    assert read_manifest(out).rejected[FIXED] == 1
    assert "unknown" not in (out / "held_out.txt").read_text()
    (latin,) = (one for one in read_instances(out) if one.path == "sizes/latin.py")
    assert "GIT binary patch" in latin.patch, "no text would be what Latin-1 is"
    assert asyncio.run(judged(find_environment(out, latin), latin, latin.patch.strip()))


async def judged(environment: Environment, task: Instance, patch: str) -> bool:
    async with task_backend(environment, start_layer(environment, task), NamespacesConfig()) as backend:
        return (await resolve(backend, environment, task, patch, 60)).resolved

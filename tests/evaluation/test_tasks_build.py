"""A set of tasks from the repository to the check, over a small project with a history, without any network."""

import asyncio
import gzip
import json
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from environment_support import write_tree

from sera.cli import cli
from sera.datasets.selection.held_out import load_held_out
from sera.environments import Environment, PrepareConfig, prepare
from sera.errors import ConfigError, TasksError
from sera.evaluation.tasks.build import _noted, build, deciding
from sera.evaluation.tasks.checking import check
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.record import (
    Instance,
    Kind,
    archive_of,
    read_instances,
    read_manifest,
    write_rows,
)
from sera.evaluation.tasks.resolving import resolve, task_backend
from sera.evaluation.tasks.trees import find_environment, start_layer
from sera.generation.job import GenerateConfig, plan_job
from sera.repositories import IndexRules, index_functions, open_snapshot
from sera.repositories.held_out import read_held_out
from sera.sandboxes import NamespacesConfig
from sera.settings import load_config

pytestmark = pytest.mark.usefixtures("machine")
CART = '''\
"""A cart."""


def price(unit, count=1, rebate=0):
    """What some things cost.

    >>> price(2)
    2
    """
    if count <= 0:
        raise ValueError("nothing to sell")
    total = unit * count
    if rebate and total > 10:
        total = total - rebate
    return total


def names(lines):
    """Cleaned names, each once."""
    found = []
    for line in lines:
        name = line.strip()
        if not name or name in found:
            continue
        found.append(name)
    return sorted(found)


def unused(value):
    """No test calls it."""
    result = value + 1
    return result
'''
TESTS = """\
import doctest
import unittest

from shop.cart import names, price


def load_tests(loader, tests, ignored):
    tests.addTests(doctest.DocTestSuite("shop.cart"))
    return tests


class TestCart(unittest.TestCase):
    def test_price(self):
        self.assertEqual(price(2, 3), 6)

    def test_rebate(self):
        self.assertEqual(price(20, 1, 5), 15)

    def test_no_rebate_on_little(self):
        self.assertEqual(price(10, 1, 5), 10)

    def test_nothing(self):
        with self.assertRaises(ValueError):
            price(1, 0)

    def test_names(self):
        self.assertEqual(names([" b", "a ", "", " b"]), ["a", "b"])

    def test_always_wrong(self):
        self.assertEqual(price(1), 2)
"""
FLAKY = """\
import os
import unittest


class TestFlaky(unittest.TestCase):
    def test_sometimes(self):
        self.assertTrue(os.environ.get("SERA_TASKS_TRACE"))
"""
PROJECT = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1.0"\n',
    "shop/__init__.py": "",
    "shop/cart.py": CART.replace("name in found", "line in found"),
    "tests/__init__.py": "",
    "tests/test_cart.py": TESTS.replace('"", " b"', '""'),
    "tests/test_flaky.py": FLAKY,
    "tests/test_broken.py": "import nothing_of_that_name\n",
}
FIXED = {"shop/cart.py": CART, "tests/test_cart.py": TESTS}


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgSign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of four commits: the second mends a bug, the others are no tasks."""
    folder = write_tree(tmp_path_factory.mktemp("source") / "shop", PROJECT)
    git(folder, "init", "-q")
    steps = [({}, "start"), (FIXED, "names: each once"), ({"README.md": "a shop\n"}, "readme")]
    untested = {"shop/cart.py": CART + '\nWORD = "a"\n'}
    for files, message in (*steps, (untested, "a word")):
        write_tree(folder, files)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", message)
    return folder


@pytest.fixture(scope="module")
def environment(shop: Path) -> Environment:
    """Of the newest commit."""
    return prepare(open_snapshot(str(shop)), SETTINGS.prepare)


SETTINGS = load_config(
    TasksConfig,
    pairs=["mutants=2", "split.share=1", "prepare.check.tests=1", "prepare.environment.build=false"],
)


@pytest.fixture(scope="module")
def tasks(shop: Path, environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set, built once."""
    out = tmp_path_factory.mktemp("sets") / "tasks"
    asyncio.run(build(str(shop), out, SETTINGS))
    return out


def of_kind(tasks: Path, kind: Kind) -> list[Instance]:
    return [one for one in read_instances(tasks) if one.kind == kind]


def test_what_is_in_a_set(tasks: Path, shop: Path) -> None:
    manifest = read_manifest(tasks)
    assert manifest.counts == {"mutant": 2, "history": 1}
    assert manifest.flaky == ("tests/test_flaky.py::TestFlaky::test_sometimes",)
    assert manifest.failing == ("tests/test_cart.py::TestCart::test_always_wrong",)
    assert manifest.tests == 5
    assert manifest.rejected["commits: changes no source"] == 1
    assert manifest.rejected["commits: changes no tests"] == 1
    row = json.loads((tasks / "tasks.jsonl").read_text().splitlines()[0])
    swe_bench = {
        "instance_id", "repo", "base_commit", "problem_statement", "hints_text", "patch", "test_patch",
        "FAIL_TO_PASS", "PASS_TO_PASS", "version", "environment_setup_commit", "created_at",
    }  # fmt: skip
    assert swe_bench <= row.keys()
    assert all(isinstance(row[name], str) for name in swe_bench)
    assert json.loads(row["FAIL_TO_PASS"])


def test_a_mutant(tasks: Path) -> None:
    for one in of_kind(tasks, Kind.MUTANT):
        assert one.path == "shop/cart.py"
        assert one.function in ("price", "names")
        assert set(one.failing).isdisjoint(one.passing)
        assert one.passing
        assert all(
            "always_wrong" not in name and "sometimes" not in name for name in one.failing + one.passing
        )
        assert "test_" not in one.problem_statement
        assert "shop.cart" in one.problem_statement


def test_the_commit(tasks: Path, shop: Path) -> None:
    (one,) = of_kind(tasks, Kind.HISTORY)
    assert one.failing == ("tests/test_cart.py::TestCart::test_names",)
    assert len(one.passing) == 4
    assert one.changed == ("shop/cart.py:names",)
    assert "names" in one.problem_statement
    assert "each once" not in one.problem_statement, "the commit's message tells the fix"
    assert read_manifest(tasks).split.training_commit == one.base_commit


def test_the_starting_tree_tells_nothing(tasks: Path, environment: Environment) -> None:
    one = of_kind(tasks, Kind.MUTANT)[0]
    lost = [
        line[1:] for line in one.patch.splitlines() if line.startswith("+") and not line.startswith("+++")
    ]
    test = one.failing[0].rpartition("::")[2]
    commands = [
        "git log --oneline --all | wc -l; git reflog | wc -l; git stash list | wc -l; git status --porcelain | wc -l",
        "git count-objects -v | grep -E 'garbage|prune'; git fsck --unreachable --no-reflogs | wc -l; ls .git/logs | wc -l",
        "find . -name '*.pyc' -o -name '*.orig' -o -name '*.rej' | wc -l; find . -newermt 2020-01-02 -type f -not -path './.git/*' | wc -l",
        f"grep -rn {test} . | wc -l",
    ]

    async def look() -> str:
        async with task_backend(environment, start_layer(environment, one), NamespacesConfig()) as backend:
            async with backend.sandbox() as box:
                said = [(await box.run(command, 30)).output for command in commands]
                said.append((await box.run("git cat-file --batch-all-objects --batch", 30)).output)
                said.append((await box.read("shop/cart.py")).decode())
                return "\n".join(said)

    said = asyncio.run(look())
    facts, _, _ = said.partition("commit")
    assert [int(word) for word in facts.split() if word.isdigit()][:4] == [1, 0, 0, 0]
    assert not any(line and f"\n{line}\n" in said for line in lost)
    assert f"def {test}" not in said


def test_gold_patches_resolve_and_empty_ones_do_not(tasks: Path) -> None:
    result = asyncio.run(check(tasks, SETTINGS))
    assert (result.tasks, result.gold, result.empty, result.faults) == (3, 3, 0, ())
    assert result.kept == result.passing > 0


def test_a_patch_cannot_spoil_the_tests(tasks: Path, environment: Environment) -> None:
    one = next(task for task in of_kind(tasks, Kind.MUTANT) if len(task.passing) > 1)
    layer = start_layer(environment, one)

    async def judged(patch: str) -> bool:
        async with task_backend(environment, layer, NamespacesConfig()) as backend:
            return (await resolve(backend, environment, one, patch, 60)).resolved

    async def with_tests_gone() -> str:
        async with task_backend(environment, layer, NamespacesConfig()) as backend:
            async with backend.sandbox() as box:
                await box.run("rm tests/test_cart.py", 30)
                return await box.patch()

    gone = asyncio.run(with_tests_gone())
    assert "deleted file" in gone
    assert not asyncio.run(judged(gone))
    assert asyncio.run(judged(one.patch + gone))
    assert not asyncio.run(judged("no patch at all\n"))


def test_what_is_kept_is_neither_sampled_nor_trained_on(tasks: Path, shop: Path) -> None:
    entries = read_held_out(tasks / "held_out.txt")
    assert "shop/cart.py:names" in entries
    assert load_held_out(str(tasks / "held_out.txt")).functions >= {("shop/cart.py", "price")}
    tree = open_snapshot(str(shop)).tree
    open_ones = index_functions(tree, IndexRules(min_statements=1, held_out=entries))
    assert {one.name for one in open_ones.sampleable} == {"unused"}
    assert open_ones.left_out["held out"] == 2
    oldest = read_manifest(tasks).split.training_commit
    assert f"@before {oldest} shop" in entries
    rules = IndexRules(min_statements=1, held_out=entries)
    with pytest.raises(ConfigError, match=f"--set revision={oldest}"):
        plan_job(str(shop), None, GenerateConfig(index=rules))
    job = plan_job(str(shop), None, GenerateConfig(index=rules, revision=oldest))
    assert job.snapshot.origin_commit == oldest
    assert job.environment, "that the task of the commit was tried in"


def test_the_same_command_adds_and_a_shorter_set_is_its_beginning(tasks: Path, shop: Path) -> None:
    before = of_kind(tasks, Kind.MUTANT)
    more = msgspec.structs.replace(SETTINGS, mutants=3)
    started = time.monotonic()
    (tasks / "work" / "seconds").write_text("1000")
    asyncio.run(build(str(shop), tasks, SETTINGS))
    assert read_manifest(tasks).seconds >= 1000, "those of earlier processes count"
    assert time.monotonic() - started < 5, "nothing was owed"
    assert of_kind(tasks, Kind.MUTANT) == before
    asyncio.run(build(str(shop), tasks, more))
    assert of_kind(tasks, Kind.MUTANT)[:2] == before
    assert len(of_kind(tasks, Kind.MUTANT)) == 3
    with pytest.raises(TasksError, match="choose another --out"):
        asyncio.run(build(str(shop), tasks, msgspec.structs.replace(SETTINGS, seed=5)))


def test_an_environment_that_is_not_usable_begins_no_set(tmp_path: Path) -> None:
    """So that the same command goes on once it is mended."""
    source = write_tree(tmp_path / "a shop", {"shop.py": "import nothing_of_this_name\n"})
    assert not prepare(open_snapshot(str(source)), PrepareConfig()).works
    with pytest.raises(
        TasksError, match=r"import shop fails: .*nothing_of_this_name.*`sera prepare '.*a shop'`"
    ):
        asyncio.run(build(str(source), tmp_path / "set", SETTINGS))
    assert not (tmp_path / "set").exists()


def test_the_archive_is_the_tree(tasks: Path, tmp_path: Path) -> None:
    for one in read_instances(tasks):
        snapshot = open_snapshot(str(archive_of(tasks, one.tree)), tmp_path)
        assert snapshot.tree_hash == one.tree
        assert gzip.decompress(archive_of(tasks, one.tree).read_bytes())
        assert find_environment(tasks, one).digest == one.environment


def test_what_is_damaged_in_a_set_is_written_again(tasks: Path, shop: Path) -> None:
    files = [file for file in tasks.rglob("*") if file.is_file() and file.name not in ("lock", "identity")]
    before = {file: file.read_bytes() for file in files}
    settings = msgspec.structs.replace(SETTINGS, mutants=len(of_kind(tasks, Kind.MUTANT)))
    for damage in (lambda content: content[: len(content) // 2], lambda content: b"\xff" + content[1:]):
        for file, content in before.items():
            if file.suffix != ".jsonl" or file.parent == tasks:  # journals have tests of their own
                file.write_bytes(damage(content))
        asyncio.run(build(str(shop), tasks, settings))
        again = {file: file.read_bytes() for file in files}
        for file in files:
            if file.name not in ("seconds", "baseline.json", "manifest.json"):  # of times
                assert again[file] == before[file], file
        assert read_manifest(tasks).counts


@pytest.mark.parametrize("told", [b"", b"nan", b"-1", b"inf", b"\xff", b"1e999", b"[", b"7.5"])
def test_seconds_that_are_none(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "seconds").write_bytes(told)
    assert _noted(tmp_path / "seconds") == (7.5 if told == b"7.5" else 0.0)
    assert _noted(tmp_path) == 0.0


def test_show_and_check_on_the_command_line(tasks: Path) -> None:
    listed = CliRunner().invoke(cli, ["tasks", "show", str(tasks)], catch_exceptions=False)
    assert of_kind(tasks, Kind.MUTANT)[0].instance_id in listed.output
    shown = CliRunner().invoke(cli, ["tasks", "show", str(tasks), "0"], catch_exceptions=False)
    assert "FAIL_TO_PASS" in shown.output
    missing = CliRunner().invoke(cli, ["tasks", "show", str(tasks), "none"])
    assert "has no task none" in str(missing.exception)


def spoiled(tasks: Path, folder: Path, **changes: str) -> Path:
    """A set of one task with something wrong."""
    one = msgspec.structs.replace(of_kind(tasks, Kind.MUTANT)[0], **changes)
    manifest = msgspec.structs.replace(read_manifest(tasks), sha256=write_rows(folder, [one]))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": ""}, "gold patch does not resolve"),
        ({"patch": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"}, "does not apply"),
        ({"fail_to_pass": "[]"}, "no test that tells"),
        (
            {
                "fail_to_pass": '["tests/test_cart.py::TestCart::test_always_wrong"]',
                "pass_to_pass": "[]",
                "test_patch": "",
            },
            "gold patch does not resolve",
        ),
    ],
)
def test_faults_are_named(tasks: Path, tmp_path: Path, changes: dict[str, str], said: str) -> None:
    result = asyncio.run(check(spoiled(tasks, tmp_path / "set", **changes), SETTINGS))
    assert said in result.faults[0].what


def test_sets_that_cannot_be_used(tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(TasksError, match=r"no environment of the tree .* sera prepare"):
        asyncio.run(check(spoiled(tasks, tmp_path / "a", tree="0" * 40), SETTINGS))
    altered = of_kind(tasks, Kind.MUTANT)[0].start_patch.replace("\n+", "\n+ ", 1).replace("+ ++", "+++")
    folder = spoiled(tasks, tmp_path / "b", start_patch=altered, start_commit="0" * 40)
    with pytest.raises(TasksError, match="was changed"):
        asyncio.run(check(folder, SETTINGS))
    torn = spoiled(tasks, tmp_path / "c")
    (torn / "tasks.jsonl").write_text("{}\n")
    with pytest.raises(TasksError, match=r"is not what manifest\.json says"):
        asyncio.run(check(torn, SETTINGS))
    with pytest.raises(TasksError, match="no finished set of tasks"):
        read_manifest(tmp_path)
    with pytest.raises(ConfigError, match="no kind of bug 'typo'"):
        asyncio.run(
            build(str(tmp_path), tmp_path / "d", load_config(TasksConfig, pairs=['operators=["typo"]']))
        )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tests/test_a.py": "import unittest\n"}, "finds no tests"),
        (
            {
                "tests/test_a.py": "import unittest\n\nclass T(unittest.TestCase):\n    def test(self): self.fail('no')\n"
            },
            "none of the 1 tests of shop passes",
        ),
        (
            {"tests/test_a.py": "import unittest\n\nclass T(unittest.TestCase):\n    def test(self): pass\n"},
            "call none of the",
        ),
        (
            {
                "tests/test_a.py": "import os, unittest\n\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
                "    def test_b(self): os._exit(0)\n    def test_c(self): pass\n"
            },
            r"broke off in tests/test_a.py::T::test_b \(exit code 0\): 1 of 3 never ran; mend it",
        ),
    ],
)
def test_repositories_of_which_no_tasks_can_be_made(tmp_path: Path, files: dict[str, str], said: str) -> None:
    base = {"shop/__init__.py": "", "shop/cart.py": CART, "pyproject.toml": PROJECT["pyproject.toml"]}
    folder = write_tree(tmp_path / "shop", base | {"tests/__init__.py": ""} | files)
    with pytest.raises(TasksError, match="run `sera prepare"):
        asyncio.run(build(str(folder), tmp_path / "out", SETTINGS))
    prepare(open_snapshot(str(folder)), SETTINGS.prepare)
    with pytest.raises(TasksError, match=said):
        asyncio.run(build(str(folder), tmp_path / "out", SETTINGS))


def test_what_is_left_out_is_told_by_the_files_alone() -> None:
    """So that a set that was begun before there was such a setting is gone on with."""
    plain, other = TasksConfig(), load_config(TasksConfig, given={"leave_out": ["data"], "mutants": 3})
    assert deciding(plain) == deciding(other)
    assert "leave_out" not in json.dumps(deciding(plain))
    assert deciding(plain) != deciding(load_config(TasksConfig, given={"seed": 1}))

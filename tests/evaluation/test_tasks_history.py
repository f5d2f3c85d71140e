"""Tasks of commits: tests that fail by themselves, texts that tell all that is asked, patches of source alone."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments import prepare
from sera.environments.suite_answers import Outcome
from sera.environments.suite_runs import Order, TestRun
from sera.evaluation.tasks.alone import IN_COMPANY, find_telling
from sera.evaluation.tasks.build import build
from sera.evaluation.tasks.checking import check
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.history import date_of, judge_commit, list_commits
from sera.evaluation.tasks.record import Instance, read_instances, read_manifest
from sera.repositories import open_snapshot
from sera.repositories.history import find_history
from sera.settings import load_config

pytestmark = pytest.mark.usefixtures("machine")
REGISTRY = '''\
"""What is open."""

OPEN = []


def enter(name):
    OPEN.append(name)
    return {enter}


def leave(name):
    OPEN.remove(name)
    return len(OPEN)
'''
LEAKY = """\
import unittest

from shop import registry


class TestRegistry(unittest.TestCase):
    def test_a_enter(self):
        self.assertEqual(registry.enter("a"), 1)
        registry.leave("a")

    def test_b_first(self):
        self.assertEqual(len(registry.OPEN), 0)

    def test_c_second(self):
        self.assertEqual(registry.OPEN, [])

    def test_d_always_fails(self):
        registry.OPEN.clear()
        self.fail("as ever")

    def test_e_saved_by_the_one_before(self):
        self.assertFalse(registry.OPEN)
"""
"""The first fails and leaves something; two are its victims, one would be but for a test that is none."""
LEAK_ALONE = LEAKY[: LEAKY.index("    def test_d")].replace("enter", "enter", 1)
WORDS = """\
def clean(text):
    return text.strip()
"""
NEW = """

def shout(text):
    return text.upper()


def whisper(text):
    return text.lower()
"""
OLD_TESTS = """\
import unittest

from shop.words import clean


class TestWords(unittest.TestCase):
    def test_clean(self):
        self.assertEqual(clean(" a"), "a")
"""
NEW_TESTS = (
    OLD_TESTS.replace("import clean", "import clean, shout, whisper")
    + """
    def test_shout(self):
        self.assertEqual(shout("a"), "A")

    def test_whisper(self):
        self.assertEqual(whisper("A"), "a")
"""
)
BESIDE = {"poetry.lock": "[]\n", ".github/workflows/ci.yml": "on: push\n", "CHANGES.rst": "More words.\n"}
PROJECT = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1.0"\n',
    "shop/__init__.py": "",
    "shop/registry.py": REGISTRY.format(enter="len(OPEN) - 1"),
    "shop/words.py": WORDS,
    "tests/__init__.py": "",
    "tests/test_words.py": OLD_TESTS,
    "tests/test_registry.py": "import unittest\n",
}
MENDED = {"shop/registry.py": REGISTRY.format(enter="len(OPEN)"), "tests/test_registry.py": LEAK_ALONE}
UNLUCKY = {
    "shop/registry.py": REGISTRY.format(enter="len(OPEN) - 0"),
    "tests/test_registry.py": LEAKY,
}
FEATURE = {"shop/words.py": WORDS + NEW, "tests/test_words.py": NEW_TESTS, **BESIDE}
STEPS = [
    ("start", {}),
    ("mend, and more words", MENDED | FEATURE),
    ("break", {"shop/registry.py": REGISTRY.format(enter="-1")}),
    ("mend again", UNLUCKY),
]
SETTINGS = load_config(
    TasksConfig,
    pairs=["mutants=0", "split.share=1", "prepare.check.tests=1", "prepare.environment.build=false"],
)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgSign=false"]
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def commit(folder: Path, message: str, files: dict[str, str]) -> None:
    write_tree(folder, files)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = write_tree(tmp_path_factory.mktemp("source") / "shop", PROJECT)
    git(shop, "init", "-q")
    for message, files in STEPS:
        commit(shop, message, files)
    prepare(open_snapshot(str(shop)), SETTINGS.prepare)
    out = tmp_path_factory.mktemp("sets") / "tasks"
    asyncio.run(build(str(shop), out, SETTINGS))
    return out


@pytest.fixture(scope="module")
def made(tasks: Path) -> Instance:
    (one,) = read_instances(tasks)
    return one


def test_victims_of_a_test_that_leaks_are_not_asked_for(made: Instance) -> None:
    asked = [name for name in made.failing if "registry" in name]
    assert asked == ["tests/test_registry.py::TestRegistry::test_a_enter"]
    assert made.passing == ()
    assert 'registry.enter("a")' in made.problem_statement
    assert "OPEN" not in made.problem_statement


def test_what_a_build_keeps_a_check_finds_sound(tasks: Path) -> None:
    """A test that passed before thanks to one that is no part of the task would fail without a patch."""
    rejected = read_manifest(tasks).rejected
    assert rejected["commits: tests that should pass without a patch fail"] == 1
    result = asyncio.run(check(tasks, SETTINGS))
    assert (result.tasks, result.gold, result.empty, result.faults) == (1, 1, 0, ())


def test_a_text_tells_all_that_is_asked(made: Instance) -> None:
    asked = [name.rpartition("_")[2] for name in made.failing if "words" in name]
    assert asked == ["clean", "shout", "whisper"]
    assert 'shout("a")' in made.problem_statement
    assert 'whisper("A")' in made.problem_statement
    assert "clean" not in made.problem_statement, "it fails for an import of the others alone"
    for word in ("used to", "before", "any more", "update", "current version"):
        assert word not in made.problem_statement, "a feature that was never there"


def test_a_gold_patch_is_source(made: Instance) -> None:
    heads = [line for line in made.patch.splitlines() if line.startswith("diff")]
    assert heads == [f"diff --git a/{path} b/{path}" for path in ("shop/registry.py", "shop/words.py")]


def test_a_merge_of_several_changes_is_no_task(made: Instance, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "many", {"a.py": ""})
    git(root, "init", "-q", "-b", "main")
    commit(root, "start", {})
    for branch in ("one", "two"):
        git(root, "checkout", "-q", "-b", branch, "main")
        commit(root, branch, {f"{branch}.py": ""})
    git(root, "checkout", "-q", "-b", "release", "main")
    git(root, "merge", "-q", "--no-ff", "one")
    git(root, "merge", "-q", "--no-ff", "two")
    git(root, "checkout", "-q", "main")
    commit(root, "other", {"other.py": ""})
    git(root, "merge", "-q", "--no-ff", "release")
    git(root, "checkout", "-q", "-b", "three", "HEAD~1")
    commit(root, "three", {"three.py": ""})
    git(root, "merge", "-q", "--no-ff", "main")
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "--no-ff", "three")
    local = find_history(str(root))
    assert local
    merges = [one for one in list_commits(local, "main", 9) if one.parents > 1]
    reasons = [
        asyncio.run(judge_commit(str(root), local, one, SETTINGS, made, None)).reason for one in merges
    ]
    assert reasons == ["changes no tests", "merges several changes"], "a branch kept up to date is one"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("@1600000000 -7530", "2020-09-13T12:26:40+00:00"),
        ("@253402400000 +0000", "2020-01-01T00:00:00+00:00"),
        ("@0 +0000", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_that_git_takes_and_no_calendar_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", said)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "first", {"a.py": "A = 1\n"})
    assert date_of(find_history(str(tmp_path)), git(tmp_path, "rev-parse", "HEAD").strip()) == told


def test_a_victim_of_files_is_told_from_what_fails_by_itself() -> None:
    """A file that one test leaves is there for the next ones, in whatever processes they are."""

    def ran(failed: str) -> TestRun:
        return TestRun(
            outcomes={one: Outcome(id=one, outcome="failed" if one in failed else "passed") for one in "abcd"}
        )

    async def before(tests: Sequence[str], order: Order) -> TestRun:
        return ran("abcd" if order == "forwards" else "ad")

    async def after(tests: Sequence[str], order: Order) -> TestRun:
        return ran("d")

    assert asyncio.run(find_telling("abcd", before, after)) == {"a": Outcome(id="a", outcome="failed")}
    assert asyncio.run(find_telling("bcd", before, after)) == IN_COMPANY


PYTEST = """\
import os
import pytest

SEEN = []


@pytest.fixture(scope="module")
def shared():
    return os.getpid()


@pytest.mark.parametrize("n", [1, 2])
def test_leaks(n, shared):
    SEEN.append(n)
    assert shared == os.getpid()
    assert n == 0


def test_victim():
    assert not SEEN


def test_gone():
    os._exit(3)


def test_last():
    assert not SEEN
"""


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_pytest_runs_each_test_in_a_process_of_its_own(tmp_path: Path, order: str) -> None:
    write_tree(tmp_path / "tree", {"test_it.py": PYTEST})
    probes = resources.files("sera.environments") / "probes"
    variables = {
        "PYTHONPATH": str(probes),
        "SERA_TASKS_ANSWER": str(tmp_path / "answer"),
        "SERA_TASKS_APART": order,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "sera_pytest", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--rootdir=.", "-c", "/dev/null"],
        cwd=tmp_path / "tree", env=os.environ | variables, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    facts = [json.loads(line) for line in (tmp_path / "answer").read_text().splitlines()]
    found = [(one["id"].partition("::")[2], one["outcome"]) for one in facts if "id" in one]
    wanted = [
        ("test_leaks[1]", "failed"),
        ("test_leaks[2]", "failed"),
        ("test_victim", "passed"),
        ("test_gone", "failed"),
        ("test_last", "passed"),
    ]
    assert found == (wanted if order == "forwards" else wanted[::-1])

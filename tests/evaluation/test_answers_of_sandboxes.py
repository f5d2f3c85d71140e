"""What hostile code answers in the place of its tests: that trial fails with the reason, the others are judged."""

import asyncio
import json
import stat
from pathlib import Path

import msgspec
import pytest
from made_evaluations import GOOD, SOURCE, diff, task

from sera.cli import cli
from sera.environments import Environment
from sera.environments.suite_answers import Answer
from sera.errors import TasksError
from sera.evaluation.grading import Ground
from sera.evaluation.tasks.baseline import take_baseline
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.hiding import hide, read_within
from sera.evaluation.tasks.record import Instance
from sera.evaluation.tasks.resolving import task_backend
from sera.evaluation.tasks.trees import start_layer

pytestmark = pytest.mark.usefixtures("own_cache")
MINE = b'{"id":"t.py::a","outcome":"passed","seconds":0.5}\n'
NOT_ANSWERS = {
    "text": b"PASSED t.py::a", "list": b"[]", "number": b"7", "id a number": b'{"id":5,"outcome":"passed"}', "nothing": b"{}",
    "no outcome": b'{"id":"a"}', "another outcome": b'{"id":"a","outcome":"resolved"}', "outcome a list": b'{"id":"a","outcome":["passed"]}',
    "place a number": b'{"place":7}', "place of one": b'{"place":["a"]}', "place of three": b'{"place":["a",1,2]}',
    "place turned": b'{"place":[1,"a"]}', "place too large": b'{"place":["a",99999999999]}', "broken a list": b'{"broken":[]}',
    "said a number": b'{"broken":"a","said":1}', "NaN": b'{"id":"a","outcome":"passed","seconds":NaN}',
    "infinite": b'{"id":"a","outcome":"passed","seconds":1e999}', "huge": b'{"id":"a","outcome":"passed","seconds":1e300}',
    "negative": b'{"id":"a","outcome":"passed","seconds":-1}', "line too large": b'{"id":"a","outcome":"failed","line":1%s}' % (b"0" * 5000),
    "call of no place": b'{"id":"a","outcome":"passed","calls":[0]}', "call below": b'{"id":"a","outcome":"passed","calls":[-1]}',
    "call a float": b'{"id":"a","outcome":"passed","calls":[0.5]}', "not UTF-8": b'{"id":"\xff","outcome":"passed"}',
    "half a pair": b'{"id":"\\ud800","outcome":"passed"}', "blank": b"", "two on a line": b"{}{}", "brackets": b"[" * 1_000_000,
    "deep inside": b'{"id":"a","outcome":"passed","x":' + b'{"a":' * 500_000, "null": b"null", "NULs": b"\0" * 1000,
}  # fmt: skip


def _read(text: bytes) -> Answer:
    answer = Answer()
    for line in text.split(b"\n")[:-1]:
        answer.add(line)
    return answer


@pytest.mark.parametrize("case", NOT_ANSWERS)
def test_a_line_that_is_none(case: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=r"^line 2: "):
        _read(MINE + NOT_ANSWERS[case] + b"\n" + MINE)


def test_lines_that_are_read() -> None:
    more = b'{"id":"t.py::b","outcome":"failed","said":"%s","kind":"E","new":{"a":1}}\n' % (b"x" * 10_000)
    places = b'{"place":["./a.py",3]}\n{"id":"t.py::c","outcome":"passed","calls":[0]}\n'
    run = _read(MINE + more + places + MINE.replace(b"passed", b"skipped") + b'{"id":"t.py::torn","outc')
    assert {one.id: one.outcome for one in run.outcomes.values()} == {
        "t.py::a": "skipped", "t.py::b": "failed", "t.py::c": "passed",
    }  # fmt: skip
    assert len(run.outcomes["t.py::b"].said) == 4000
    assert run.places == [("a.py", 3)]
    assert _read(b"").outcomes == {}


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x.py::t",
        "a/../../x.py::t",
        "",
        "::t",
        "a\\u0000.py::t",
        "a.py::" + "t" * 20_000,
        "a\\u2028.py",
    ],
)
def test_names_that_lead_elsewhere_are_no_tests(name: str) -> None:
    assert _read(b'{"id":"%s","outcome":"failed"}\n' % name.encode()).outcomes == {}


def test_no_file_outside_of_a_tree_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("def test_a():\n    pass\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "test_a.py").symlink_to("../secret.py")
    (tree / "test_b.py").write_text("def test_a():\n    pass\n")
    (tree / "test_c.py").symlink_to("test_b.py")
    assert hide(tree, ["test_a.py::test_a", "../secret.py::test_a", "a\0b::test_a"]) == {}
    assert read_within(tree, "test_c.py") == read_within(tree, "test_b.py") != ""


def hostile(instance: Instance, code: str) -> str:
    """The gold patch, and code that runs with the tests; `ANSWER` is where they answer."""
    right, wrong = GOOD["add"]
    body = f"import os\nANSWER = os.environ.get('SERA_TASKS_ANSWER')\nif ANSWER:\n    {code}\n"
    return diff("little.py", SOURCE.replace(right, wrong), body + SOURCE)


REPLACED = {
    "a line": "open(ANSWER, 'a').write('{\"id\": 5}\\n')",
    "at the end": "import atexit; atexit.register(lambda: open(ANSWER, 'a').write('[' * 1_000_000 + '\\n'))",
    "a pipe": "os.remove(ANSWER); os.mkfifo(ANSWER)",
    "a directory": "os.remove(ANSWER); os.mkdir(ANSWER)",
    "an endless device": "os.remove(ANSWER); os.symlink('/dev/zero', ANSWER)",
    "a sparse file": "os.truncate(ANSWER, 20 << 20)",
    "a loop": "os.remove(ANSWER); os.symlink(ANSWER, ANSWER)",
    "not to be read": "os.chmod(ANSWER, 0)",
    "another file of text": "os.remove(ANSWER); os.symlink('/etc/passwd', ANSWER)",
}


def test_every_kind_of_answer_fails_that_trial_alone(little: Environment) -> None:
    instance = task(little, "add")

    async def main() -> None:
        layer = start_layer(little, instance)
        async with task_backend(little, layer, TasksConfig().sandbox) as backend:
            ground = Ground(instance, little, backend)
            assert (await ground.grade(hostile(instance, "pass"), 60)).resolved
            for name, code in REPLACED.items():
                grade = await ground.grade(hostile(instance, code), 60)
                assert not grade.resolved, name
                assert grade.applied, name
                assert grade.incomplete.startswith("what the tests answered cannot be read"), name
                assert set(grade.still_failing) == set(instance.failing), name
            gone = await ground.grade(hostile(instance, "os.remove(ANSWER)"), 60)
            assert gone.resolved, "nothing was answered yet, and all of it stands in the next file"
            unreadable = await ground.grade(hostile(instance, "os.truncate(ANSWER, 100 << 30)"), 60)
            assert not unreadable.resolved
            assert not unreadable.incomplete, "no test was come to, as their file cannot be read in"

    asyncio.run(main())


def test_words_of_a_test_that_are_no_text(little: Environment) -> None:
    """An exception may say a half of a pair: its test fails, and the others are read."""
    instance = task(little, "add")
    right, wrong = GOOD["add"]
    odd = SOURCE.replace(right, "raise ValueError('\\udc80\\ud800 \\u2028 \\0')")

    async def main() -> None:
        async with task_backend(little, start_layer(little, instance), TasksConfig().sandbox) as backend:
            patch = diff("little.py", SOURCE.replace(right, wrong), odd)
            grade = await Ground(instance, little, backend).grade(patch, 60)
            assert grade.incomplete == ""
            assert grade.still_failing == instance.failing
            assert grade.broken == ()

    asyncio.run(main())


def test_a_patch_that_leaves_no_room(little: Environment) -> None:
    """It fills the disk as it is applied, so that no test can be begun."""
    instance = task(little, "add")
    config = TasksConfig()
    limits = msgspec.structs.replace(config.sandbox.limits, disk_bytes=1 << 20)
    right, wrong = GOOD["add"]
    lines = "".join(f"+{'x' * 1000}\n" for _ in range(900))
    filling = diff("little.py", SOURCE.replace(right, wrong), SOURCE) + (
        "diff --git a/big b/big\nnew file mode 100644\n--- /dev/null\n+++ b/big\n@@ -0,0 +1,900 @@\n" + lines
    )

    async def main() -> None:
        sandbox = msgspec.structs.replace(config.sandbox, limits=limits)
        async with task_backend(little, start_layer(little, instance), sandbox) as backend:
            grade = await Ground(instance, little, backend).grade(filling, 60)
            assert not grade.resolved
            assert grade.incomplete or not grade.applied

    asyncio.run(main())


def test_an_evaluation_goes_on(little_tasks: Path, little: Environment, tmp_path: Path) -> None:
    instance = task(little, "add")
    right, wrong = GOOD["double"]
    patches = {
        "little-add": hostile(instance, REPLACED["a line"]),
        "little-double": diff("little.py", SOURCE.replace(right, wrong), SOURCE),
        "little-first": "x" * (17 << 20),
    }
    rows = [{"instance_id": name, "model_patch": patch} for name, patch in patches.items()]
    (tmp_path / "patches.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["evaluate", little_tasks, "--predictions", tmp_path / "patches.jsonl", "--out", tmp_path / "out"]
    for _ in range(2):
        cli.main([*map(str, words), "--set", "check=false"], standalone_mode=False)
    found = {row["task"]: row for row in map(json.loads, (tmp_path / "out" / "outcomes.jsonl").open())}
    assert {name: row["state"] for name, row in found.items()} == {
        "little-add": "unresolved", "little-double": "resolved", "little-first": "unapplied", "little-upper": "empty",
    }  # fmt: skip
    assert found["little-add"]["reason"].startswith("what the tests answered cannot be read: line 2: ")


def test_a_patch_that_ends_the_run_of_its_tests(
    little_tasks: Path, little: Environment, tmp_path: Path
) -> None:
    """It resolves nothing, though the tests that would tell never ran, and the outcome says where it broke off."""
    right, wrong = GOOD["add"]
    before = SOURCE.replace(right, wrong)
    ending = SOURCE.replace(GOOD["double"][0], "__import__('os')._exit(0)")
    row = {"instance_id": "little-add", "model_patch": diff("little.py", before, ending)}
    (tmp_path / "patches.jsonl").write_text(json.dumps(row) + "\n")
    words = ["evaluate", little_tasks, "--predictions", tmp_path / "patches.jsonl", "--out", tmp_path / "out"]
    cli.main([*map(str, words), "--set", "check=false"], standalone_mode=False)
    found = {one["task"]: one for one in map(json.loads, (tmp_path / "out" / "outcomes.jsonl").open())}
    row = found["little-add"]
    assert row["state"] == "unresolved"
    test = "tests/test_little.py::TestLittle::test_{}".format
    assert row["reason"] == f"the tests broke off in {test('double')} (exit code 0): 2 of 4 never ran"
    assert row["broken"] == [test(name) for name in ("double", "first", "upper")]
    assert row["still_failing"] == row["flaky"] == []


def test_a_suite_that_answers_nothing_readable(little: Environment) -> None:
    """Its own repository is hostile: there are no tasks, and a sentence."""
    file = little.tree / "little.py"
    before, mode = file.read_bytes(), file.stat().st_mode
    file.chmod(mode | stat.S_IWUSR)
    spoilt = (
        f"import os\nANSWER = os.environ.get('SERA_TASKS_ANSWER')\nif ANSWER: {REPLACED['a line']}\n{SOURCE}"
    )
    try:
        file.write_text(spoilt)
        with pytest.raises(
            TasksError, match="tell nothing: what the tests answered cannot be read: line 2: "
        ):
            asyncio.run(take_baseline(little, TasksConfig()))
    finally:
        file.write_bytes(before)
        file.chmod(mode)

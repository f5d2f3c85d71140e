"""A small set of tasks over a small project, and a model that does something else on each of them."""

import difflib
import hashlib
import sys
from pathlib import Path

import msgspec
from environment_support import write_tree

from sera.environments import Environment, PrepareConfig, prepare
from sera.evaluation.tasks.record import MANIFEST, Instance, Kind, Manifest, Split, write_rows
from sera.evaluation.tasks.trees import make_start
from sera.records import Message, ToolCall, Usage
from sera.repositories import open_snapshot
from sera.teachers import ChatRequest, Reply
from sera.teachers.scripted import call, say

GOOD = {
    "add": ("return a + b", "return a - b"),
    "double": ("return 2 * a", "return 3 * a"),
    "first": ("return items[0]", "return items[-1]"),
    "upper": ("return text.upper()", "return text.lower()"),
}
SOURCE = '''\
"""Little helpers."""


def add(a, b):
    return a + b


def double(a):
    return 2 * a


def first(items):
    return items[0]


def upper(text):
    return text.upper()
'''
TESTS = """\
import unittest

import little


class TestLittle(unittest.TestCase):
    def test_add(self):
        self.assertEqual(little.add(2, 1), 3)

    def test_double(self):
        self.assertEqual(little.double(4), 8)

    def test_first(self):
        self.assertEqual(little.first("abc"), "a")

    def test_upper(self):
        self.assertEqual(little.upper("a"), "A")
"""
MORE = "tests/test_more.py"
PROJECT = {"little.py": SOURCE, "tests/test_little.py": TESTS}
WHAT = {"add": "solve", "double": "spoil", "first": "loop", "upper": "idle"}
"""Function → what the actor does when it is told to mend it: the one that loops looks where it should not."""


def prepared(root: Path) -> Environment:
    """The project's environment. The cache and the index are those of this process's variables."""
    snapshot = open_snapshot(str(write_tree(root, PROJECT)))
    return prepare(snapshot, PrepareConfig())


def diff(path: str, before: str, after: str) -> str:
    """A patch as git writes it."""
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


UNSTEADY = """\
import unittest


class TestMore(unittest.TestCase):
    seen = []

    def test_a(self):
        self.seen.append(1)

    def test_b(self):
        self.assertFalse(self.seen)
"""
"""A test that fails after another and passes alone."""
SLOW = """\
import time
import unittest


class TestMore(unittest.TestCase):
    def test_a(self):
        time.sleep(60)

    def test_b(self):
        pass
"""


def task(environment: Environment, function: str, **changes: str) -> Instance:
    """A bug in one function; `changes` of fields."""
    right, wrong = GOOD[function]
    bad = SOURCE.replace(right, wrong)
    start = diff("little.py", SOURCE, bad)
    name = "tests/test_little.py::TestLittle::test_{}".format
    made = Instance(
        instance_id=f"little-{function}",
        repo="little",
        base_commit="",
        problem_statement=f"{function} gives a wrong result. PLAN: {WHAT[function]} {function}",
        patch=diff("little.py", bad, SOURCE),
        test_patch="",
        fail_to_pass=msgspec.json.encode([name(function)]).decode(),
        pass_to_pass=msgspec.json.encode([name(one) for one in GOOD if one != function]).decode(),
        kind=Kind.MUTANT,
        tree=environment.tree_hash,
        environment=environment.digest,
        start_patch=start,
        start_commit=make_start(environment, start).commit,
        path="little.py",
        runner="unittest",
        seconds=0.5,
    )
    return msgspec.structs.replace(made, **changes)


def with_tests_of(environment: Environment, text: str) -> Instance:
    """The task about `add`, with a further file of tests, which should pass before and after."""
    made = task(environment, "add")
    lines = text.splitlines()
    added = f"diff --git a/{MORE} b/{MORE}\nnew file mode 100644\n--- /dev/null\n+++ b/{MORE}\n"
    added += f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)
    start = made.start_patch + added
    tests = [*made.passing, *(f"{MORE}::TestMore::test_{name}" for name in "ab")]
    return msgspec.structs.replace(
        made,
        start_patch=start,
        start_commit=make_start(environment, start).commit,
        pass_to_pass=msgspec.json.encode(tests).decode(),
    )


def write_set(folder: Path, environment: Environment, tasks: list[Instance]) -> Path:
    """A set of tasks as the builder leaves it."""
    digest = write_rows(folder, tasks)
    manifest = Manifest(
        source="little", name="little", tree=environment.tree_hash, commit="", environment=environment.digest,
        runner="unittest", settings={}, seed=0, split=Split(unit="function"), counts={"mutant": len(tasks)},
        operators={}, rejected={}, sha256=digest,
    )  # fmt: skip
    assert digest == hashlib.sha256((folder / "tasks.jsonl").read_bytes()).hexdigest()
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


class Actor:
    """A model that reads what to do in the request: `solve`, `spoil`, `loop` or `idle`, and a function."""

    def __init__(self, latency: float = 0.0) -> None:
        self._latency = latency
        self.asked = 0

    async def __aenter__(self) -> "Actor":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> dict[str, str]:
        return {"kind": "scripted", "model": "actor"}

    async def complete(self, request: ChatRequest) -> Reply:
        import asyncio

        await asyncio.sleep(self._latency)
        self.asked += 1
        turn = sum(message.role == "assistant" for message in request.messages)
        words = request.messages[1].content.partition("PLAN: ")[2].split()
        message = _act(words[0], words[1], turn) if words else call("bash", command="ls")
        calls = tuple(
            msgspec.structs.replace(one, id=f"call_{turn}_{n}") for n, one in enumerate(message.tool_calls)
        )
        return Reply(
            message=msgspec.structs.replace(message, tool_calls=calls),
            usage=Usage(calls=1, prompt=100 * (turn + 1), completion=10),
        )


def _act(what: str, function: str, turn: int) -> Message:
    right, wrong = GOOD[function]
    edit = call("str_replace_editor", command="str_replace", path="/testbed/little.py",
                old_str=wrong, new_str=right if what == "solve" else "return None")  # fmt: skip
    if what == "loop":
        return call("bash", command="pip show -f little")
    if what == "idle":
        return say("I see.") if turn == 0 else call("submit")
    if turn == 0:
        return _repaired(call("bash", command="cat little.py"))
    return edit if turn == 1 else call("submit")


def _repaired(message: Message) -> Message:
    """As if it had to be read tolerantly."""
    found: ToolCall = msgspec.structs.replace(message.tool_calls[0], repair="fenced")
    return msgspec.structs.replace(message, tool_calls=(found,))


def serve_actor(latency: str) -> None:
    """Serve it on loopback; the address is printed."""
    from sera.teachers.server import serve

    serve(Actor(float(latency)), "actor")


if __name__ == "__main__":
    serve_actor(sys.argv[1])

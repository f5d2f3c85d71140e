"""A task and a set of tasks, as they stand on disk.

    TASKS/tasks.jsonl      one task a line, in SWE-bench's columns and some of ours
    TASKS/manifest.json    source, environment, settings, split, counts; written last
    TASKS/held_out.txt     what must not be trained on, as `sera dataset build` and `sera generate` take it
    TASKS/trees/HASH.tar.gz  the files of a repository that starting trees are made of

A starting tree is the archive of `Instance.tree` with `Instance.start_patch` applied: see `trees`.
"""

import hashlib
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import TasksError, boundary
from sera.records import SCHEMA, Record
from sera.untrusted import decode
from sera.visible import one_line

ROWS, MANIFEST, HELD_OUT, TREES = "tasks.jsonl", "manifest.json", "held_out.txt", "trees"
_LONGEST_NAME = 255
"""Bytes, as of a file."""
_MOST_OF_PROJECT = 100
"""Characters of a project's name in the name of a task, which has it twice."""
_AGAIN = "`sera tasks build` with the command that made it writes it again"


class Kind(StrEnum):
    """Where a task comes from."""

    MUTANT = "mutant"
    """A small bug put into a function."""
    HISTORY = "history"
    """A commit of the repository that changed source and tests together."""


class Instance(Record, frozen=True, kw_only=True):
    """One task. The first block are SWE-bench's columns, in its types; the second is ours."""

    instance_id: str
    repo: str
    """Name of the project, without an owner."""
    base_commit: str
    """Of a mutant: the one commit of its starting tree. Of history: the parent in the real repository."""
    problem_statement: str
    patch: str
    """The gold patch: from the starting tree to one that resolves the task. Source only."""
    test_patch: str
    """From the starting tree to the tests that tell. Applied by whoever judges, never shown to the agent."""
    fail_to_pass: str = msgspec.field(name="FAIL_TO_PASS")
    """JSON list of tests, as `failing` gives it."""
    pass_to_pass: str = msgspec.field(name="PASS_TO_PASS")
    """JSON list of tests, as `passing` gives it."""
    version: str = ""
    environment_setup_commit: str = ""
    created_at: str = ""
    """ISO 8601, of the commit that the tree was taken from."""
    hints_text: str = ""

    kind: Kind
    tree: str
    """Hash of the repository's tree: the environment's `tree_hash`, and the archive's name."""
    environment: str
    """`Environment.digest` of what it was established in."""
    start_patch: str = ""
    """From that tree to the starting tree: the bug, and the telling tests taken out."""
    start_commit: str = ""
    """The one commit of the starting tree, as a sandbox shows it."""
    operator: str = ""
    """Of a mutant: what was done, as in `operators`."""
    path: str
    """The source file that the gold patch changes; the first of several."""
    function: str = ""
    """Qualified name of the function changed; the first of several, empty outside of any."""
    changed: tuple[str, ...] = ()
    """What the gold patch changes, as entries of `held_out.txt`: `path:function`, or a path."""
    module: str = ""
    """Unit of the split that it belongs to: a path, or `path:function`."""
    split: str = "evaluation"
    """`evaluation` or `training`."""
    runner: str = "pytest"
    test_command: str = ""
    """How a person runs the tests that tell, in the working tree."""
    seconds: float = 0.0
    """Time that its tests took when they passed."""
    origin_commit: str = ""
    """Of history: the commit that resolved it. Of a mutant: the commit that the files are of, if any."""
    schema: int = SCHEMA

    @property
    def failing(self) -> tuple[str, ...]:
        """Tests that fail in the starting tree and pass once the task is resolved."""
        return _ids(self.fail_to_pass)

    @property
    def passing(self) -> tuple[str, ...]:
        """Tests that pass before and after."""
        return _ids(self.pass_to_pass)


class Split(Record, frozen=True, kw_only=True):
    """What is evaluated and what may be trained on. The two have nothing in common."""

    unit: str
    """`module` or `function`: what was dealt as a whole."""
    evaluation: tuple[str, ...] = ()
    """Paths, or `path:function`."""
    training: tuple[str, ...] = ()
    training_commit: str = ""
    """Of a split by time: the newest commit that training may start from. Empty: no such bound."""


class Manifest(Record, frozen=True, kw_only=True):
    """What a set of tasks is and how it came to be. Its presence says that the set is whole."""

    source: str
    name: str
    tree: str
    commit: str
    environment: str
    runner: str
    settings: dict[str, Any]
    seed: int
    split: Split
    counts: dict[str, int]
    """Tasks by kind."""
    operators: dict[str, int]
    """Mutants by operator."""
    rejected: dict[str, int]
    """Reason → candidates of that fate."""
    flaky: tuple[str, ...] = ()
    """Tests that passed once and failed once on the same tree; no task rests on them."""
    failing: tuple[str, ...] = ()
    """Tests that failed on the tree as it is; at most the first hundred."""
    tests: int = 0
    """Tests that passed twice."""
    dirty: bool = False
    """Whether changes that were not committed were part of the tree."""
    seconds: float = 0.0
    """Of work, that of processes which were interrupted or killed included."""
    sha256: str = ""
    """Of `tasks.jsonl`."""
    schema: int = SCHEMA


def task_name(project: str, rest: str) -> str:
    """The id of a task, in SWE-bench's form. It names folders, and a project calls itself what it likes."""
    plain = re.sub(r"[^\w.+-]+", "-", project, flags=re.ASCII)[:_MOST_OF_PROJECT]
    return f"{plain}__{plain}-{rest}"


def write_rows(folder: Path, instances: list[Instance]) -> str:
    """Write the tasks of a set, whole or not at all; the SHA-256 of the file."""
    content = b"".join(msgspec.json.encode(one) + b"\n" for one in instances)
    replace(folder / ROWS, content)
    return hashlib.sha256(content).hexdigest()


def replace(file: Path, content: bytes) -> None:
    """Write a file of a set, whole or not at all."""
    with boundary(TasksError, f"cannot write {file}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.new")
        beside.write_bytes(content)
        beside.replace(file)


def read_instances(folder: Path) -> list[Instance]:
    """The tasks of a set, in their order; `TasksError` names the line that cannot be read. The set may be a
    stranger's: what names files in it leads nowhere else."""
    found = []
    for number, line in enumerate(_read(folder / ROWS).splitlines(), 1):
        if not line.strip():
            continue
        with boundary(
            TasksError, f"{folder / ROWS}, line {number} is no task ({_AGAIN})", msgspec.DecodeError
        ):
            one: Instance = decode(line, Instance)
        if not _is_name(one.instance_id) or not _is_hash(one.tree) or not _is_hash(one.start_commit):
            raise TasksError(
                f"{folder / ROWS}, line {number}: {one_line(one.instance_id)} of {one_line(one.tree)} "
                "cannot be a task, as its names lead out of its folders: leave the line out"
            )
        found.append(one)
    return found


def _is_name(name: str) -> bool:
    """Whether a folder can have that name."""
    plain = name.isprintable() and "/" not in name and name not in ("", ".", "..")
    return plain and len(name.encode()) <= _LONGEST_NAME


def _is_hash(text: str) -> bool:
    return bool(re.fullmatch("[0-9a-f]{0,64}", text))


def read_manifest(folder: Path) -> Manifest:
    """What a set says of itself; `TasksError` if it is no whole set, or its tasks were changed since."""
    with boundary(TasksError, f"{folder / MANIFEST} is damaged ({_AGAIN})", msgspec.DecodeError):
        manifest: Manifest = decode(_read(folder / MANIFEST), Manifest)
    if hashlib.sha256(_read(folder / ROWS)).hexdigest() != manifest.sha256:
        raise TasksError(f"{folder / ROWS} is not what {MANIFEST} says: {_AGAIN}")
    return manifest


def archive_of(folder: Path, tree: str) -> Path:
    """Where the archive of a tree lies in a set."""
    return folder / TREES / f"{tree}.tar.gz"


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise TasksError(
            f"{file.parent} is no finished set of tasks (no {file.name}): "
            f"`sera tasks build REPO --out {file.parent}` makes one, or goes on with it"
        )
    with boundary(TasksError, f"cannot read {file}"):
        return file.read_bytes()


def _ids(text: str) -> tuple[str, ...]:
    with boundary(TasksError, "a list of tests in a task is damaged", msgspec.DecodeError):
        return tuple(decode(text, list[str]))

"""Tasks made of a repository's own history: commits that change source and tests together.

The starting tree is the commit's parent; the gold patch is what the commit does outside of tests, the test
patch what it does to them. Which tests tell is found out by running the changed test files in the environment
of the parent: with the test patch alone, and with both, twice. The message of the commit is
not used: it tells the fix.
"""

import asyncio
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from sera.agent.patched_tests import is_test_file
from sera.environments import Environment, prepare
from sera.environments.commits import version_of
from sera.errors import PrepareError, SandboxLost, SourceError
from sera.evaluation.tasks.changed import changed_functions
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.diffs import parts_of
from sera.evaluation.tasks.issue import choose_failure, leaks, write_issue
from sera.evaluation.tasks.record import Instance, Kind, task_name
from sera.evaluation.tasks.resolving import apply, resolve, task_backend
from sera.evaluation.tasks.running import Outcome, TestRun, run_tests, test_command
from sera.records import Record
from sera.repositories import open_snapshot
from sera.repositories.git import GitFailed, Local
from sera.sandboxes import Backend, Sandbox

_MOST_FILES = 10
_MOST_LINES = 400
"""A commit that changes more source than this is no task but a project."""
_NO_TESTS = ("conftest.py", "__init__.py")
_QUICK = 30.0


class Commit(NamedTuple):
    """A commit that may be a task."""

    hash: str
    parent: str
    created: str


class Judged(Record, frozen=True, kw_only=True):
    """What became of a commit."""

    commit: str
    reason: str = ""
    instance: Instance | None = None


def date_of(local: Local | None, commit: str) -> str:
    """When a commit was made, in ISO 8601; the constant time of snapshots where that is not known."""
    if local and commit:
        return local.run("show", "--no-patch", "--format=%cI", commit, "--").decode().strip()
    return "2020-01-01T00:00:00+00:00"


def list_commits(local: Local, revision: str, most: int) -> list[Commit]:
    """The main line's commits, the newest first, each against its first parent."""
    try:
        listed = local.run(
            "log", "--first-parent", f"--max-count={most}", "--format=%H %P %cI", revision or "HEAD", "--"
        )
    except GitFailed as failure:
        raise SourceError(f"the history cannot be read: {failure.stderr}") from None
    rows = [line.split() for line in listed.decode().splitlines()]
    return [Commit(row[0], row[1], row[-1]) for row in rows if len(row) >= 3]


async def judge_commit(
    source: str, local: Local, commit: Commit, config: TasksConfig, template: Instance, cache: Path | None
) -> Judged:
    """Find out what a commit is worth as a task."""
    parted = _parted(local, commit)
    if isinstance(parted, str):
        return Judged(commit=commit.hash, reason=parted)
    gold, tests = parted
    try:
        environment = await asyncio.to_thread(_environment, source, commit.parent, config, cache)
    except (PrepareError, SourceError) as failure:
        return Judged(commit=commit.hash, reason=f"no environment: {failure}")
    if not environment.works:
        return Judged(commit=commit.hash, reason="its project cannot be imported or tested")
    changed = changed_functions(environment.tree, gold)
    instance = msgspec.structs.replace(
        template,
        instance_id=task_name(template.repo, commit.hash[:10]),
        base_commit=commit.parent,
        patch=gold,
        test_patch=tests,
        version=environment.version,
        environment_setup_commit=commit.parent,
        created_at=commit.created,
        kind=Kind.HISTORY,
        tree=environment.tree_hash,
        environment=environment.digest,
        start_commit=environment.commit,
        origin_commit=commit.hash,
        runner=environment.plan.suite.runner,
        path=changed[0].partition(":")[0],
        function=next((one.partition(":")[2] for one in changed if ":" in one), ""),
        module=changed[0],
        changed=changed,
    )
    async with task_backend(environment, environment.layer, config.sandbox) as backend:
        try:
            found = await _established(backend, environment, local, instance, config)
        except SandboxLost as problem:
            found = f"ends its sandbox: {problem}"
    return (
        Judged(commit=commit.hash, reason=found)
        if isinstance(found, str)
        else Judged(commit=commit.hash, instance=found)
    )


def _environment(source: str, parent: str, config: TasksConfig, cache: Path | None) -> Environment:
    """The environment of a commit, prepared now if it was not."""
    snapshot = open_snapshot(source, cache, parent, leave_out=config.leave_out)
    return prepare(snapshot, config.prepare, cache, version_of(source, parent))


def _parted(local: Local, commit: Commit) -> tuple[str, str] | str:
    """The gold patch and the test patch of a commit, or why there are none."""
    patch = local.run(
        "diff-tree", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--full-index",
        "--src-prefix=a/", "--dst-prefix=b/", commit.parent, commit.hash,
    )  # fmt: skip
    try:
        parts = parts_of(patch.decode())
    except UnicodeDecodeError:
        return "changes what is not text"
    tests = [part for part in parts if is_test_file(_path(part))]
    rest = [part for part in parts if not is_test_file(_path(part))]
    source = [part for part in rest if _path(part).endswith(".py")]
    if not source:
        return "changes no source"
    if not tests:
        return "changes no tests"
    if any("\nGIT binary patch" in part or "\nBinary files" in part for part in parts):
        return "changes what is not text"
    changed = sum(line[:1] in "+-" for part in source for line in part.splitlines()[4:] if line)
    if len(source) > _MOST_FILES or changed > _MOST_LINES:
        return "changes too much"
    return "".join(rest), "".join(tests)


def _path(part: str) -> str:
    head = part.partition("\n")[0]
    return head.rpartition(" b/")[2]


async def _established(
    backend: Backend, environment: Environment, local: Local, instance: Instance, config: TasksConfig
) -> Instance | str:
    """The task with the tests that tell, or why none do."""
    before = await _run(backend, environment, instance, "", config)
    after = await _run(backend, environment, instance, instance.patch, config)
    if isinstance(before, str) or isinstance(after, str):
        return "its patches do not apply"
    again = await _run(backend, environment, instance, instance.patch, config)
    if unreadable := before.unreadable or after.unreadable:
        return unreadable
    if not (before.in_time and after.in_time) or isinstance(again, str):
        return "a test does not end"
    good = after.named("passed") & again.named("passed")
    passed = before.named("passed")
    failing, passing = sorted(good - passed), sorted(good & passed)
    if not good:
        return "its tests fail before and after"
    if not failing:
        return "its tests pass before and after"
    if len(failing) + len(passing) > 20 * config.tests:
        return "has too many tests"
    seconds = sum(after.outcomes[name].seconds for name in good)
    text = _text(local, before, failing, instance, config)
    if not text:
        return "no text that gives nothing away"
    instance = msgspec.structs.replace(
        instance,
        problem_statement=text,
        fail_to_pass=msgspec.json.encode(failing).decode(),
        pass_to_pass=msgspec.json.encode(passing).decode(),
        seconds=round(seconds, 2),
        test_command=test_command(environment, failing),
    )
    gold = await resolve(backend, environment, instance, instance.patch, config.mutant_seconds)
    empty = await resolve(backend, environment, instance, "", config.mutant_seconds)
    if not gold.resolved or empty.resolved:
        return "not the same when run again"
    return instance


async def _run(
    backend: Backend, environment: Environment, instance: Instance, patch: str, config: TasksConfig
) -> TestRun | str:
    """All tests of the files that the test patch changes, with a patch applied; what git says if it
    cannot be."""
    async with backend.sandbox() as box:
        for part in (patch, instance.test_patch):
            if part and (result := await apply(box, part)).exit_code != 0:
                return result.output
        present = [path for path in map(_path, parts_of(instance.test_patch)) if await _is_there(box, path)]
        files = [path for path in present if posixpath.basename(path) not in _NO_TESTS]
        return await run_tests(box, environment, None, config.mutant_seconds, files=files)


async def _is_there(box: Sandbox, path: str) -> bool:
    return path.endswith(".py") and (await box.execute(["test", "-f", path], _QUICK)).exit_code == 0


def _text(local: Local, before: TestRun, failing: list[str], instance: Instance, config: TasksConfig) -> str:
    """What goes wrong, told from the tests as the commit has them."""
    for failure in choose_failure(_failures(before, failing)):
        path = failure.id.partition("::")[0]
        try:
            tests = local.run("cat-file", "blob", f"{instance.origin_commit}:{path}").decode(errors="replace")
        except GitFailed:  # a test of a file that the commit does not have
            continue
        text = write_issue(tests, failure, instance.repo, config.seed)
        if text and not leaks(text, instance.patch, failing):
            return text
    return ""


def _failures(before: TestRun, failing: list[str]) -> Iterator[Outcome]:
    """What became of the tests that tell, those included whose file could not even be read in."""
    for name in failing:
        if name in before.outcomes:
            yield before.outcomes[name]
        elif said := before.broken.get(name.partition("::")[0]):
            last = next((line for line in reversed(said.splitlines()) if "Error" in line), "")
            kind, _, told = last.removeprefix("E").strip().partition(":")
            yield Outcome(id=name, outcome="failed", kind=kind, said=f"{kind}:{told}")

"""Tasks made of a repository's own history: commits that change source and tests together.

The starting tree is the commit's parent; the gold patch is what the commit does to the source, the test
patch what it does to tests. What belongs to neither (`beside.toml`: prose, lock files, what a forge is told)
is left out, and the task stands only if it does without. Which tests tell is found out by running the changed
test files in the environment of the parent: with the test patch alone, and with both, twice; then each test
that told by itself. A task asks for what its text tells, and for what held before. The message of the commit
is not used: it tells the fix.
"""

import ast
import asyncio
import posixpath
import tomllib
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from sera.agent.patched_tests import is_test_file
from sera.environments import Environment, prepare
from sera.environments.commits import version_of
from sera.environments.suite_runs import Order, TestRun, files_of, run_tests, test_command
from sera.errors import PrepareError, SandboxLost, SourceError
from sera.evaluation.tasks.alone import Runs, find_telling
from sera.evaluation.tasks.changed import changed_functions
from sera.evaluation.tasks.checking import both, faults_of
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.diffs import parts_of
from sera.evaluation.tasks.examples import Read
from sera.evaluation.tasks.hiding import find_test, readable
from sera.evaluation.tasks.issue import function_of, write_issue
from sera.evaluation.tasks.record import Instance, Kind, task_name
from sera.evaluation.tasks.resolving import apply, task_backend
from sera.records import Record
from sera.repositories import open_snapshot
from sera.repositories.git import GitFailed, Local
from sera.sandboxes import Backend, Sandbox

_MOST_FILES = 10
_MOST_LINES = 400
"""A commit that changes more source than this is no task but a project."""
_MOST_COMMITS = 30
"""A branch of more is no one change."""
_NO_TESTS = ("conftest.py", "__init__.py")
_QUICK = 30.0


class Commit(NamedTuple):
    """A commit that may be a task."""

    hash: str
    parent: str
    parents: int = 1


class Judged(Record, frozen=True, kw_only=True):
    """What became of a commit."""

    commit: str
    reason: str = ""
    instance: Instance | None = None


def date_of(local: Local | None, commit: str) -> str:
    """When a commit was made, in UTC and ISO 8601; the constant time of snapshots where that is not known."""
    known = local.committed(commit) if local and commit else ""
    return known or "2020-01-01T00:00:00+00:00"


def list_commits(local: Local, revision: str, most: int) -> list[Commit]:
    """The main line's commits, the newest first, each against its first parent."""
    try:
        listed = local.run(
            "log", "--first-parent", f"--max-count={most}", "--format=%H %P", revision or "HEAD", "--"
        )
    except GitFailed as failure:
        raise SourceError(f"the history cannot be read: {failure.stderr}") from None
    rows = [line.split() for line in listed.decode().splitlines()]
    return [Commit(row[0], row[1], len(row) - 1) for row in rows if len(row) >= 2]


async def judge_commit(
    source: str, local: Local, commit: Commit, config: TasksConfig, template: Instance, cache: Path | None
) -> Judged:
    """Find out what a commit is worth as a task."""
    if commit.parents > 1 and _merges_several(local, commit):
        return Judged(commit=commit.hash, reason="merges several changes")
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
        created_at=date_of(local, commit.hash),
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
    parts = parts_of(patch.decode("utf-8", "surrogateescape"))
    tests = [part for part in parts if is_test_file(_path(part))]
    rest = [part for part in parts if not is_test_file(_path(part)) and not _is_beside(_path(part))]
    source = [part for part in rest if _path(part).endswith(".py")]
    if not source:
        return "changes no source"
    if not tests:
        return "changes no tests"
    if any("\nBinary files" in part or not _is_text(part) for part in (*rest, *tests)):
        return "changes what is not text"
    changed = sum(line[:1] in "+-" for part in source for line in part.split("\n")[4:] if line)
    if len(source) > _MOST_FILES or changed > _MOST_LINES:
        return "changes too much"
    return "".join(rest), "".join(tests)


def _merges_several(local: Local, commit: Commit) -> bool:
    """Whether a merge brings more than the commits of one branch: what was merged into that, but the main
    line itself, was a change of its own."""
    listed = local.run(
        "rev-list", "--parents", f"--max-count={_MOST_COMMITS + 1}", f"{commit.parent}..{commit.hash}", "--"
    )
    rows = [line.split() for line in listed.decode().splitlines()]
    brought = {row[0] for row in rows}
    inner = [parents for name, *parents in rows if len(parents) > 1 and name != commit.hash]
    return commit.parents > 2 or len(rows) > _MOST_COMMITS or any(brought.issuperset(one) for one in inner)


def _path(part: str) -> str:
    head = part.partition("\n")[0]
    return head.rpartition(" b/")[2]


def _is_beside(path: str) -> bool:
    """Whether a file is neither source nor test."""
    known, place = _beside(), PurePosixPath(path)
    named = any(fnmatchcase(place.name.lower(), one) for one in known["names"])
    return named or not known["folders"].isdisjoint(place.parts[:-1])


@cache
def _beside() -> dict[str, frozenset[str]]:
    text = (resources.files("sera.evaluation.tasks") / "beside.toml").read_text("utf-8")
    return {key: frozenset(values) for key, values in tomllib.loads(text).items()}


def _is_text(part: str) -> bool:
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _established(
    backend: Backend, environment: Environment, local: Local, instance: Instance, config: TasksConfig
) -> Instance | str:
    """The task with the tests that tell, or why none do."""
    before = await _run(backend, environment, instance, "", config)
    after = await _run(backend, environment, instance, instance.patch, config)
    if isinstance(before, str) or isinstance(after, str):
        return "its patches do not apply"
    again = await _run(backend, environment, instance, instance.patch, config)
    if not (before.in_time and after.in_time) or isinstance(again, str):
        return "a test does not end"
    if incomplete := before.incomplete or after.incomplete or again.incomplete:
        return f"its tests do not run to their end: {incomplete}"
    good = after.named("passed") & again.named("passed")
    passed = before.named("passed")
    failing, passing = sorted(good - passed), sorted(good & passed)
    if not good:
        return "its tests fail before and after"
    if not failing:
        return "its tests pass before and after"
    if len(failing) + len(passing) > 20 * config.tests:
        return "has too many tests"

    def apart(patch: str) -> Runs:
        async def run(tests: Sequence[str], order: Order) -> TestRun:
            found = await _run(backend, environment, instance, patch, config, tests, order)
            return TestRun(outcomes={}, incomplete=found) if isinstance(found, str) else found

        return run

    telling = await find_telling(failing, apart(""), apart(instance.patch))
    if isinstance(telling, str):
        return telling
    old = _old_tests(local, telling, before.broken, instance)
    failures = [one for name, one in telling.items() if name not in old] or list(telling.values())
    read, repo, seed = _reader(local, instance.origin_commit), instance.repo, config.seed
    issue = write_issue(read, failures, instance.patch, repo, seed, held=False)
    if not issue.text:
        return "no text that gives nothing away"
    files = files_of(issue.told)
    also = {name for name in old if name.partition("::")[0] in files}
    asked = [name for name in telling if function_of(name) in issue.told or name in also]
    seconds = sum(after.outcomes[name].seconds for name in (*asked, *passing))
    instance = msgspec.structs.replace(
        instance,
        problem_statement=issue.text,
        fail_to_pass=msgspec.json.encode(asked).decode(),
        pass_to_pass=msgspec.json.encode(passing).decode(),
        seconds=round(seconds, 2),
        test_command=test_command(environment, asked),
    )
    found = faults_of(instance, *await both(backend, environment, instance, config.mutant_seconds))
    return found[0] if found else instance


async def _run(
    backend: Backend,
    environment: Environment,
    instance: Instance,
    patch: str,
    config: TasksConfig,
    wanted: Sequence[str] | None = None,
    apart: Order | None = None,
) -> TestRun | str:
    """All tests of the files that the test patch changes, or those wanted, with a patch applied; what git
    says if it cannot be."""
    async with backend.sandbox() as box:
        for part in (patch, instance.test_patch):
            if part and (result := await apply(box, part)).exit_code != 0:
                return result.output
        present = [path for path in map(_path, parts_of(instance.test_patch)) if await _is_there(box, path)]
        files = [path for path in present if posixpath.basename(path) not in _NO_TESTS]
        return await run_tests(box, environment, wanted, config.mutant_seconds, files=files, apart=apart)


async def _is_there(box: Sandbox, path: str) -> bool:
    return path.endswith(".py") and (await box.execute(["test", "-f", path], _QUICK)).exit_code == 0


def _old_tests(
    local: Local, tests: Iterable[str], broken: Collection[str], instance: Instance
) -> frozenset[str]:
    """Tests that the commit has not changed, of files that could not even be read in before: they fail for
    what the new tests beside them need, and nothing is to be told of them."""
    now, then = _reader(local, instance.origin_commit), _reader(local, instance.base_commit)

    def is_old(test: str) -> bool:
        path = test.partition("::")[0]
        return path in broken and _source(now(path), test) == _source(then(path), test) != ""

    return frozenset(filter(is_old, tests))


def _reader(local: Local, commit: str) -> Read:
    @cache
    def read(path: str) -> str:
        try:
            content = local.run("cat-file", "blob", f"{commit}:{path}")
        except GitFailed:  # a file that the commit does not have
            return ""
        return readable(path, content.decode("utf-8", "surrogateescape"))

    return read


def _source(text: str, test: str) -> str:
    node = find_test(text, test)
    return ast.dump(node) if node else ""

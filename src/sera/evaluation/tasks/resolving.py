"""The judge: whether a patch resolves a task.

A fresh sandbox over the starting tree; the patch; then the test files as the task's author has them,
whatever the patch did to them; then the tests. Resolved: every test of FAIL_TO_PASS and of PASS_TO_PASS
passes.
"""

import posixpath
import re

import msgspec
from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from sera.environments import Environment
from sera.environments.suite_runs import PLACE, TestRun, files_of, last_line, run_tests
from sera.errors import TasksError, boundary
from sera.evaluation.tasks.diffs import parts_of
from sera.evaluation.tasks.record import Instance
from sera.records import Layer, Record
from sera.sandboxes import Backend, CommandResult, Sandbox, SandboxConfig, make_backend

_GIT_SECONDS = 60.0
_PATCH = f"{PLACE}/a.patch"
_TOLERANT = ["patch", "--force", "--no-backup-if-mismatch", "--fuzz=5", "-p1", "-i"]
"""`--force` is for SWE-bench's `--batch`, which would take back a patch that is there already."""
_BINARY = re.compile(r"^diff --git (?:.*\n)+?Binary files .* differ$", re.M)
"""Says that a file changed, and not to what: nobody can apply it."""
_SLOWER = 10.0
_LEAST = 10.0
"""A test may take ten times as long as when the task was made, and ten seconds more."""


class Resolution(Record, frozen=True, kw_only=True):
    """What became of a patch."""

    resolved: bool
    applied: bool = True
    """Whether the patch could be applied at all."""
    still_failing: tuple[str, ...] = ()
    """Of FAIL_TO_PASS, those that do not pass."""
    broken: tuple[str, ...] = ()
    """Of PASS_TO_PASS, those that do not pass any more."""
    in_time: bool = True
    incomplete: str = ""
    """Why its tests were not run to their end; empty: they were, or time is the reason."""
    output: str = ""
    """What the runner printed, or git of a patch that does not apply."""


def task_backend(environment: Environment, layer: Layer, sandbox: SandboxConfig) -> Backend:
    """Sandboxes over a task's starting tree, with everything that its project needs."""
    return make_backend(environment.sandbox(sandbox), layer)


async def resolve(
    backend: Backend, environment: Environment, instance: Instance, patch: str, seconds: float
) -> Resolution:
    """Judge a patch; `backend` is `task_backend` of the task's starting tree."""
    async with backend.sandbox() as box:
        if patch.strip():
            result = await apply_handed_in(box, patch)
            if result.exit_code != 0:
                return Resolution(resolved=False, applied=False, output=result.output)
        try:
            await put_tests(box, instance)
        except TasksError as problem:
            if not patch.strip():
                raise
            return judge(instance, TestRun(outcomes={}, incomplete=f"with this patch, {problem}"))
        wanted = (*instance.failing, *instance.passing)
        run = await run_tests(box, environment, wanted, seconds, each=_SLOWER * instance.seconds + _LEAST)
    return judge(instance, run)


def judge(instance: Instance, run: TestRun) -> Resolution:
    """What a run of a task's tests says."""
    passed = run.named("passed")
    failing = tuple(name for name in instance.failing if name not in passed)
    broken = tuple(name for name in instance.passing if name not in passed)
    return Resolution(
        resolved=bool(instance.failing) and not (failing or broken or run.incomplete),
        still_failing=failing,
        broken=broken,
        in_time=run.in_time,
        incomplete=run.incomplete,
        output="\n".join(filter(None, (run.output, run.incomplete))),
    )


async def apply(box: Sandbox, patch: str) -> CommandResult:
    """Apply a patch to the working tree of a sandbox; one that has no room there does not apply."""
    try:
        await box.write(_PATCH, patch.encode(errors="replace"))
    except OSError as problem:
        return CommandResult(output=f"the patch cannot be put into the sandbox: {problem}\n", exit_code=1)
    return await box.execute(["git", "apply", "--whitespace=nowarn", _PATCH], _GIT_SECONDS)


async def apply_handed_in(box: Sandbox, patch: str) -> CommandResult:
    """Apply a patch that may come from any harness, as SWE-bench does: what git refuses is tried once more by
    GNU patch, with as much fuzz as there. What git said is the answer where that fails too. Line feeds at the
    end, which many strip, are needed: one ends a line, and a second a binary patch; more say nothing."""
    told = [part for part in parts_of(f"{patch}\n\n") if not _BINARY.match(part)]
    result = await apply(box, "".join(told))
    if result.exit_code == 0:
        return result
    again = await box.execute([*_TOLERANT, _PATCH], _GIT_SECONDS)
    return again if again.exit_code == 0 else result


async def put_tests(box: Sandbox, instance: Instance) -> None:
    """Make the test files those of the task, whatever was done to them."""
    wanted = set(files_of((*instance.failing, *instance.passing)))
    with boundary(TasksError, f"the test patch of {instance.instance_id}", UnidiffParseError):
        changed = {file.path: file.is_added_file for file in PatchSet(instance.test_patch)}
    kept = sorted((wanted | changed.keys()) - {path for path, new in changed.items() if new})
    new = sorted(path for path, is_new in changed.items() if is_new)
    for argv in (["rm", "-rf", "--", *new], ["git", "checkout", "--force", "HEAD", "--", *kept]):
        if argv[-1] != "--":
            await box.execute(argv, _GIT_SECONDS)
    if instance.test_patch:
        result = await apply(box, instance.test_patch)
        if result.exit_code != 0:
            where, said = posixpath.commonprefix([*changed]), last_line(result.output)
            raise TasksError(f"the test patch of {instance.instance_id} does not apply to {where}: {said}")


def with_tests(instance: Instance, failing: list[str], passing: list[str]) -> Instance:
    """The task with these tests to tell."""
    return msgspec.structs.replace(
        instance,
        fail_to_pass=msgspec.json.encode(failing).decode(),
        pass_to_pass=msgspec.json.encode(passing).decode(),
    )

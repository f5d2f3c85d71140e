"""Running a repository's tests in a sandbox, and what became of each.

Tests are named as pytest names them, `path::Class::name[case]`, with unittest too. A run counts as whole only
if every test that was to run has ended: `TestRun.incomplete` says why it is not, and where it broke off.
"""

import signal
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Literal

import msgspec

from sera.environments.records import Environment
from sera.environments.suite_answers import Answer, Outcome, read_answer
from sera.errors import TasksError
from sera.records import Record
from sera.sandboxes import CommandResult, Sandbox
from sera.visible import one_line

PLACE = "/tmp/sera-tasks"
RUNNERS = ("pytest", "unittest")
"""Runners whose tests can be told apart one by one."""
_ANSWER, _WANTED = f"{PLACE}/answer.jsonl", f"{PLACE}/wanted.json"
_CLEAR = ["sh", "-c", f"rm -rf {_ANSWER} {_ANSWER}.*"]
_PROBES = ("sera_recorder.py", "sera_pytest.py", "sera_unittest.py")
_QUICK = 60.0
_USAGE_ERROR = 4
_UNSTEADY = ("randomly", "random_order", "rerunfailures", "stepwise", "sugar")
"""Plugins of pytest that change the order of tests, run some again, stop early, or write beside them."""
Order = Literal["forwards", "backwards"]
_MOST_TOLD = 300
"""Characters of a name or a reason in a sentence."""


class TestRun(Record, frozen=True, kw_only=True):
    """A run of tests: of those that ended, each once."""

    __test__ = False
    outcomes: dict[str, Outcome]
    places: tuple[tuple[str, int], ...] = ()
    """File and first line of every function of the tree that a test called."""
    broken: dict[str, str] = msgspec.field(default_factory=dict)
    """Test files that could not be read in, with the reason."""
    collected: int | None = None
    """Tests that were found, run or not; None: it did not come to that."""
    missing: int = 0
    """Of the tests to run, those that did not end."""
    in_time: bool = True
    incomplete: str = ""
    """Why it is not whole, if it is not and time is not the reason. Nothing rests on such a run."""
    broke_off_in: str = ""
    """The test in or after which it broke off, or the file while it was read in."""
    output: str = ""

    def named(self, outcome: str) -> frozenset[str]:
        """Tests of one outcome."""
        return frozenset(name for name, one in self.outcomes.items() if one.outcome == outcome)

    @property
    def cure(self) -> str:
        """What can be done about its breaking off."""
        if not self.broke_off_in:
            return ""
        option = "deselect" if "::" in self.broke_off_in else "ignore"
        return f"mend it, or leave it out with environment.test_options=['--{option}={self.broke_off_in}']"


async def run_tests(
    box: Sandbox,
    environment: Environment,
    wanted: Sequence[str] | None,
    seconds: float,
    each: float = 0.0,
    trace: bool = False,
    files: Sequence[str] = (),
    apart: Order | None = None,
    most: int | None = None,
) -> TestRun:
    """Run the tests named, or all if None, or all of some files, or an even sample of `most`, which has
    examples in docstrings too. `seconds` bound the run, `each` a single test; 0: not. `apart`: each in a
    process of its own, in that order.

    Raises `TasksError` for a repository whose tests cannot be told apart.
    """
    runner = environment.plan.suite.runner
    if runner not in RUNNERS:
        raise TasksError(
            f"the tests of {environment.name} are run by {runner!r}, and tasks need {' or '.join(RUNNERS)}: "
            "prepare it with environment.runner=pytest if that can run them"
        )
    try:
        await _put(box, wanted)
    except OSError as problem:  # a patch has filled the disk, say
        return TestRun(outcomes={}, incomplete=f"the tests cannot be begun: {problem}")
    variables = {"SERA_TASKS_ANSWER": _ANSWER, "SERA_TASKS_EACH": str(each), "PYTHONPATH": PLACE}
    variables |= {"SERA_TASKS_TRACE": "1"} if trace else {}
    variables |= {"SERA_TASKS_APART": apart} if apart else {}
    variables |= {"SERA_TASKS_WANTED": _WANTED} if wanted is not None else {}
    variables |= {"SERA_TASKS_FILES": msgspec.json.encode(files).decode()} if files else {}
    variables |= {"SERA_TASKS_MOST": str(most)} if most is not None else {}
    argv = _command(environment, files or files_of(wanted or ()))
    result = await box.execute(argv, seconds, variables)
    answer, unreadable = await read_answer(box, _ANSWER)
    if runner == "pytest" and answer.collected is None and result.exit_code == _USAGE_ERROR:
        await box.execute(_CLEAR, _QUICK)  # options that need a plugin we have not
        result = await box.execute([*argv, "-o", "addopts="], seconds, variables)
        answer, unreadable = await read_answer(box, _ANSWER)
    return _run_of(answer, unreadable, result)


def files_of(tests: Iterable[str]) -> list[str]:
    """The files that tests lie in, sorted."""
    return sorted({name.partition("::")[0] for name in tests})


def test_command(environment: Environment, tests: Iterable[str]) -> str:
    """How a person runs the files of some tests in the working tree."""
    command = environment.plan.test_command
    if environment.plan.suite.runner == "pytest":
        command = (*command[:3], *environment.plan.test_options, *files_of(tests))
    return " ".join(command)


def last_line(text: str) -> str:
    """The last line that says something, cut to what fits into a sentence."""
    return next((line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()), "")


def how_it_ended(result: CommandResult) -> str:
    """The end of a program in words."""
    if result.limit:
        return f"it needed more {result.limit} than a sandbox may have"
    code = result.exit_code
    try:
        return f"exit code {code}, {signal.Signals((code or 0) - 128).name}"
    except ValueError:
        return f"exit code {code}"


def _command(environment: Environment, files: Sequence[str]) -> list[str]:
    plan = environment.plan
    if plan.suite.runner == "unittest":
        start = plan.suite.paths[0] if plan.suite.paths else "."
        return ["python", f"{PLACE}/sera_unittest.py", start]
    names = {place.name for place in environment.prefix.glob("lib/python3*/site-packages/*")}
    options = ["-q", "--tb=short", "-p", "sera_pytest", f"--rootdir={environment.workdir}"]
    options += ["-o", f"cache_dir={PLACE}/cache"]
    options += [word for name in _UNSTEADY for word in ("-p", f"no:{name}")]
    options += [*plan.test_options, "--continue-on-collection-errors", "--maxfail=100000"]
    options += ["-n0"] if "xdist" in names else []
    options += ["--no-cov"] if "pytest_cov" in names else []
    options += ["--hypothesis-seed=0"] if "_hypothesis_pytestplugin.py" in names else []
    return ["python", "-m", "pytest", *options, *(files or plan.suite.paths)]


async def _put(box: Sandbox, wanted: Sequence[str] | None) -> None:
    """What runs the tests, and the names of those wanted; an answer of earlier ones is gone."""
    for name in _PROBES:
        content = (resources.files("sera.environments") / "probes" / name).read_bytes()
        await box.write(f"{PLACE}/{name}", content)
    if wanted is not None:
        await box.write(_WANTED, msgspec.json.encode(list(wanted)))
    await box.execute(_CLEAR, _QUICK)


def _run_of(answer: Answer, unreadable: str, result: CommandResult) -> TestRun:
    is_whole = answer.collected is not None and answer.left == 0
    is_late = any(one.outcome == "late" for one in answer.outcomes.values())
    late = is_late or (result.timed_out and not is_whole)
    is_broken_off = not (unreadable or late or is_whole)
    return TestRun(
        outcomes=answer.outcomes,
        places=tuple(answer.places),
        broken=answer.broken,
        collected=answer.collected,
        missing=answer.left,
        in_time=not late,
        incomplete=_broke_off(answer, result) if is_broken_off else unreadable,
        broke_off_in=(_removed_in(answer) or answer.at or answer.last) if is_broken_off else "",
        output=result.output,
    )


def _removed_in(answer: Answer) -> str:
    """The test that removed the answer, if one did: nothing is told of those before it."""
    return next(iter(answer.outcomes), "") if answer.collected is None else ""


def _broke_off(answer: Answer, result: CommandResult) -> str:
    """Where a run of tests ended before its time, why, and how much of it is owed."""
    where, last = (one_line(name)[:_MOST_TOLD] for name in (answer.at, answer.last))
    why = one_line(answer.end or "")[:_MOST_TOLD] or how_it_ended(result)
    if culprit := _removed_in(answer):
        return f"what the tests had answered was removed in {one_line(culprit)[:_MOST_TOLD]}"
    if answer.collected is None:
        when = f"broke off while {where} was read in" if where else "ended before any was found"
        said = one_line(last_line(result.output))
        return f"the tests {when} ({why})" + (f": {said}" if said else "")
    if where:
        return f"the tests broke off in {where} ({why}): {answer.left - 1} of {answer.chosen} never ran"
    when = f"broke off after {last}" if last else "ended before the first of them"
    return f"the tests {when} ({why}): {answer.left} of {answer.chosen} never ran"

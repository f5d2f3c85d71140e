"""Running a repository's tests in a sandbox, and what became of each.

Tests are named as pytest names them, `path::Class::name[case]`, with unittest too. What a test says of
itself is taken as it comes: a patch could forge it, as it could any runner's output. An answer that cannot
be read is none: no test of that run counts as passed, and `TestRun.unreadable` says why.
"""

import posixpath
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from sera import untrusted
from sera.environments import Environment
from sera.errors import TasksError
from sera.records import Record
from sera.sandboxes import Sandbox

PLACE = "/tmp/sera-tasks"
RUNNERS = ("pytest", "unittest")
"""Runners whose tests can be told apart one by one."""
_ANSWER, _WANTED = f"{PLACE}/answer.jsonl", f"{PLACE}/wanted.json"
_PROBES = (
    ("sera.evaluation.tasks", "sera_tasks_recorder.py"),
    ("sera.evaluation.tasks", "sera_tasks_pytest.py"),
    ("sera.evaluation.tasks", "sera_tasks_unittest.py"),
    ("sera.environments", "sera_discovery.py"),
)
"""Programs that run inside, by the part that has them."""
_QUICK = 60.0
_USAGE_ERROR = 4
_UNSTEADY = ("randomly", "random_order", "rerunfailures", "sugar", "cacheprovider")
"""Plugins of pytest that change the order of tests, run them again, or write beside them."""

_LONGEST_ID, _MOST_SAID = 10_000, 4000
"""Characters."""
_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Order = Literal["forwards", "backwards"]


class Outcome(Record, frozen=True, kw_only=True):
    """What became of one test."""

    id: str
    outcome: str
    """`passed`, `failed`, `skipped`, or `late`: it did not end in its time."""
    seconds: float = 0.0
    kind: str = ""
    """Of a failure: the exception's class."""
    said: str = ""
    line: int = 0
    """Line of the test's file on which it failed; 0: none."""
    inside: bool = False
    """Whether the exception came from the project rather than the test."""
    calls: tuple[int, ...] = ()
    """Functions called, as numbers in `TestRun.places`."""


class TestRun(Record, frozen=True, kw_only=True):
    """A run of tests: of those that ended, each once."""

    __test__ = False
    outcomes: dict[str, Outcome]
    places: tuple[tuple[str, int], ...] = ()
    """File and first line of every function of the tree that a test called."""
    broken: dict[str, str] = msgspec.field(default_factory=dict)
    """Test files that could not be read in, with the reason."""
    in_time: bool = True
    unreadable: str = ""
    """Why nothing is known of it; empty: it is."""
    output: str = ""

    def named(self, outcome: str) -> frozenset[str]:
        """Tests of one outcome."""
        return frozenset(name for name, one in self.outcomes.items() if one.outcome == outcome)


class _Fact(Record, frozen=True, kw_only=True):
    """A line of the answer: a function's `place`, a `broken` file, or else a test."""

    place: tuple[str, _Number] | None = None
    broken: str | None = None
    id: str = ""
    outcome: Literal["", "passed", "failed", "skipped", "late"] = ""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 0.0
    kind: str = ""
    said: str = ""
    line: _Number = 0
    inside: bool = False
    calls: tuple[_Number, ...] = ()


async def run_tests(
    box: Sandbox,
    environment: Environment,
    wanted: Sequence[str] | None,
    seconds: float,
    each: float = 0.0,
    trace: bool = False,
    files: Sequence[str] = (),
    apart: Order | None = None,
) -> TestRun:
    """Run the tests named, or all if None, or all of some files. `seconds` bound the run, `each` a single
    test; 0: not. `apart`: each in a process of its own, in that order.

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
        return TestRun(outcomes={}, unreadable=f"the tests cannot be begun: {problem}")
    variables = {"SERA_TASKS_ANSWER": _ANSWER, "SERA_TASKS_EACH": str(each), "PYTHONPATH": PLACE}
    variables |= {"SERA_TASKS_TRACE": "1"} if trace else {}
    variables |= {"SERA_TASKS_APART": apart} if apart else {}
    variables |= {"SERA_TASKS_WANTED": _WANTED} if wanted is not None else {}
    argv = _command(environment, files or files_of(wanted or ()))
    variables |= {"SERA_TASKS_FILES": ",".join(files)} if files else {}
    result = await box.execute(argv, seconds, variables)
    if runner == "pytest" and result.exit_code == _USAGE_ERROR:  # options that need a plugin we have not
        result = await box.execute([*argv, "-o", "addopts="], seconds, variables)
    run = await _answer(box)
    late = result.timed_out or bool(run.named("late"))
    return msgspec.structs.replace(run, in_time=not late, output=result.output)


def files_of(tests: Iterable[str]) -> list[str]:
    """The files that tests lie in, sorted."""
    return sorted({name.partition("::")[0] for name in tests})


def test_command(environment: Environment, tests: Iterable[str]) -> str:
    """How a person runs the files of some tests in the working tree."""
    command = environment.plan.test_command
    if environment.plan.suite.runner == "pytest":
        command = (*command[:3], *environment.plan.test_options, *files_of(tests))
    return " ".join(command)


def _command(environment: Environment, files: Sequence[str]) -> list[str]:
    plan = environment.plan
    if plan.suite.runner == "unittest":
        start = plan.suite.paths[0] if plan.suite.paths else "."
        return ["python", f"{PLACE}/sera_tasks_unittest.py", start]
    names = {place.name for place in environment.prefix.glob("lib/python3*/site-packages/*")}
    options = ["-q", "--tb=no", "-p", "sera_tasks_pytest", f"--rootdir={environment.workdir}"]
    options += [word for name in _UNSTEADY for word in ("-p", f"no:{name}")]
    options += ["--continue-on-collection-errors", "--maxfail=100000"]
    options += ["-n0"] if "xdist" in names else []
    options += ["--no-cov"] if "pytest_cov" in names else []
    options += ["--hypothesis-seed=0"] if "_hypothesis_pytestplugin.py" in names else []
    return ["python", "-m", "pytest", *options, *plan.test_options, *(files or plan.suite.paths)]


def last_line(text: str) -> str:
    """The last line that says something, cut to what fits into a sentence."""
    return next((line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()), "")


async def _put(box: Sandbox, wanted: Sequence[str] | None) -> None:
    """What runs the tests, and the names of those wanted; an answer of earlier ones is gone."""
    for part, name in _PROBES:
        content = (resources.files(part) / "probes" / name).read_bytes()
        await box.write(f"{PLACE}/{name}", content)
    if wanted is not None:
        await box.write(_WANTED, msgspec.json.encode(list(wanted)))
    await box.execute(["rm", "-rf", _ANSWER], _QUICK)


async def _answer(box: Sandbox) -> TestRun:
    try:
        return _read(await box.read(_ANSWER))
    except FileNotFoundError:  # no test was come to: the output says why
        return TestRun(outcomes={})
    except (OSError, msgspec.DecodeError) as problem:
        return TestRun(outcomes={}, unreadable=f"what the tests answered cannot be read: {problem}")


def _read(answer: bytes) -> TestRun:
    """Raises `msgspec.DecodeError` for a line that is whole and says nothing that a test can say."""
    outcomes: dict[str, Outcome] = {}
    places: list[tuple[str, int]] = []
    broken: dict[str, str] = {}
    *lines, _ = answer.split(b"\n")  # what follows the last one, a process did not get to write
    for number, line in enumerate(lines, 1):
        try:
            fact: _Fact = untrusted.decode(line, _Fact)
        except msgspec.DecodeError as problem:
            raise msgspec.DecodeError(f"line {number}: {problem}") from None
        if fact.place:
            places.append((posixpath.normpath(fact.place[0]), fact.place[1]))
        elif fact.broken is not None:
            broken[fact.broken[:_LONGEST_ID]] = fact.said[-_MOST_SAID:]
        elif not fact.outcome or any(call >= len(places) for call in fact.calls):
            raise msgspec.DecodeError(f"line {number}: it tells of no test")
        elif _is_in_tree(fact.id):
            outcomes[fact.id] = Outcome(
                id=fact.id,
                outcome=fact.outcome,
                seconds=fact.seconds,
                kind=fact.kind[:_MOST_SAID],
                said=fact.said[:_MOST_SAID],
                line=fact.line,
                inside=fact.inside,
                calls=fact.calls,
            )
    return TestRun(outcomes=outcomes, places=tuple(places), broken=broken)


def _is_in_tree(test: str) -> bool:
    """Whether a test can be one of the tree: its file is read on the host."""
    file = PurePosixPath(test.partition("::")[0])
    inside = not file.is_absolute() and ".." not in file.parts and str(file).isprintable()
    return inside and bool(file.parts) and len(test) <= _LONGEST_ID and "\0" not in test

"""Running a repository's tests in a sandbox, and what became of each.

Tests are named as pytest names them, `path::Class::name[case]`, with unittest too. What a test says of
itself is taken as it comes: a patch could forge it, as it could any runner's output.
"""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

import msgspec

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
    output: str = ""

    def named(self, outcome: str) -> frozenset[str]:
        """Tests of one outcome."""
        return frozenset(name for name, one in self.outcomes.items() if one.outcome == outcome)


async def run_tests(
    box: Sandbox,
    environment: Environment,
    wanted: Sequence[str] | None,
    seconds: float,
    each: float = 0.0,
    trace: bool = False,
    files: Sequence[str] = (),
) -> TestRun:
    """Run the tests named, or all if None, or all of some files. `seconds` bound the run, `each` a single
    test; 0: not.

    Raises `TasksError` for a repository whose tests cannot be told apart.
    """
    runner = environment.plan.suite.runner
    if runner not in RUNNERS:
        raise TasksError(
            f"the tests of {environment.name} are run by {runner!r}, and tasks need {' or '.join(RUNNERS)}: "
            "prepare it with environment.runner=pytest if that can run them"
        )
    for part, name in _PROBES:
        content = (resources.files(part) / "probes" / name).read_bytes()
        await box.write(f"{PLACE}/{name}", content)
    await box.execute(["rm", "-f", _ANSWER], _QUICK)
    variables = {"SERA_TASKS_ANSWER": _ANSWER, "SERA_TASKS_EACH": str(each), "PYTHONPATH": PLACE}
    variables |= {"SERA_TASKS_TRACE": "1"} if trace else {}
    if wanted is not None:
        await box.write(_WANTED, msgspec.json.encode(list(wanted)))
        variables["SERA_TASKS_WANTED"] = _WANTED
    argv = _command(environment, files or files_of(wanted or ()))
    variables |= {"SERA_TASKS_FILES": ",".join(files)} if files else {}
    result = await box.execute(argv, seconds, variables)
    if runner == "pytest" and result.exit_code == _USAGE_ERROR:  # options that need a plugin we have not
        result = await box.execute([*argv, "-o", "addopts="], seconds, variables)
    run = _read(await _answer(box))
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


async def _answer(box: Sandbox) -> bytes:
    try:
        return await box.read(_ANSWER)
    except OSError:
        return b""


def _read(answer: bytes) -> TestRun:
    outcomes: dict[str, Outcome] = {}
    places: list[tuple[str, int]] = []
    broken: dict[str, str] = {}
    for fact in _facts(answer):
        if "place" in fact:
            path, line = fact["place"]
            places.append((posixpath.normpath(path), line))
        elif "broken" in fact:
            broken[fact["broken"]] = fact["said"]
        else:
            outcome = msgspec.convert(fact, Outcome)
            outcomes[outcome.id] = outcome
    return TestRun(outcomes=outcomes, places=tuple(places), broken=broken)


def _facts(answer: bytes) -> Iterator[dict[str, Any]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in answer.splitlines():
        try:
            yield decode(line)
        except msgspec.DecodeError:  # the process was killed while it wrote
            return

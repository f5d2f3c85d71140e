"""Which tests tell, found by running each in a process of its own.

A test that fails and leaves something behind makes others fail that have nothing to do with it, and one may
pass only because of what another has left. What counts fails alone before and passes alone after. What a
test leaves in files is seen too: the tests run in both orders, each order in a fresh sandbox, and one that
fails in one of them only is the victim of another.
"""

from collections.abc import Awaitable, Callable, Sequence

from sera.environments.suite_answers import Outcome
from sera.environments.suite_runs import Order, TestRun

Runs = Callable[[Sequence[str], Order], Awaitable[TestRun]]
"""Runs tests apart, in a fresh sandbox."""
IN_COMPANY = "its tests fail in the company of others only"


async def find_telling(tests: Sequence[str], before: Runs, after: Runs) -> dict[str, Outcome] | str:
    """Of some tests, those that tell, each with how it fails when it is alone; or why that is not known."""
    telling: dict[str, Outcome] = {}
    orders: tuple[Order, ...] = ("forwards", "backwards")
    for order in orders:
        run = await before(tests, order)
        if reason := _why_unknown(run):
            return reason
        telling = {name: telling.get(name, one) for name, one in _failures(run, tests).items()}
        tests = [*telling]
        if not tests:
            return IN_COMPANY
    run = await after(tests, "forwards")
    passed = run.named("passed")
    return _why_unknown(run) or {name: telling[name] for name in tests if name in passed} or IN_COMPANY


def _why_unknown(run: TestRun) -> str:
    if not run.in_time:
        return "a test does not end"
    return f"its tests do not run to their end: {run.incomplete}" if run.incomplete else ""


def _failures(run: TestRun, tests: Sequence[str]) -> dict[str, Outcome]:
    """What became of the tests that failed, those included whose file could not even be read in."""
    found = {}
    for name in tests:
        if name in run.outcomes:
            if run.outcomes[name].outcome == "failed":
                found[name] = run.outcomes[name]
        elif said := run.broken.get(name.partition("::")[0]):
            last = next((line for line in reversed(said.splitlines()) if "Error" in line), "")
            kind, _, told = last.removeprefix("E").strip().partition(":")
            found[name] = Outcome(id=name, outcome="failed", kind=kind, said=f"{kind}:{told}")
    return found

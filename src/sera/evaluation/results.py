"""What an evaluation comes to: `results.json`, and SWE-bench's files."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import UsageError
from sera.evaluation.behaviour import Behaviour, behaviour_of
from sera.evaluation.folder import Evaluation, read_evaluation
from sera.evaluation.plan import Plan
from sera.evaluation.record import Outcome, trial_id
from sera.evaluation.statistics import Comparison, Rate, compare, rate_of
from sera.evaluation.swebench import write_predictions, write_totals
from sera.evaluation.trials import owed, sound
from sera.records import SCHEMA, Record
from sera.runs import LEDGER, read_ledger
from sera.runs.folder import replace
from sera.runs.ledger import Balance
from sera.teachers import price_of

RESULTS = "results.json"
Rows = dict[str, list[bool]]
"""Task → resolved, by seed."""
_ALIKE = {
    "tasks": "another set of tasks",
    "profile": "another harness profile",
    "agent": "other bounds of the agent",
    "context": "another length of context",
    "environments": "other environments",
    "seed": "another seed",
}
"""What must be the same in two evaluations for their difference to be the model's."""
_SAMPLED = ("chat", "local")
"""Kinds of models whose answers are drawn; the others have neither temperature nor length."""


class Results(Record, frozen=True, kw_only=True):
    """The figures of one evaluation."""

    model: str
    tasks: int
    """That count."""
    seeds: int
    owed: int
    """Trials without a definite end; while there are any, tasks with one are in no rate."""
    rate: Rate | None
    """None while no task has ended with every seed."""
    states: dict[str, int]
    """Trials by what became of them."""
    left_out: dict[str, str]
    """Broken task → what is wrong with it."""
    flaky: tuple[str, ...]
    """Tests that failed once and then passed."""
    behaviour: Behaviour | None
    """None if predictions were judged."""
    spent: Balance
    baseline: str = ""
    """Folder that the comparison is with."""
    differences: tuple[str, ...] = ()
    """In what the baseline is unlike this evaluation, if that was allowed."""
    comparison: Comparison | None = None
    """This model (the second) against the baseline (the first)."""
    sentence: str = ""
    schema: int = SCHEMA


def check_baseline(folder: Path, plan: Plan, allow: bool) -> tuple[str, ...]:
    """In what an earlier evaluation differs from a planned one, `UsageError` unless that is allowed; and what
    of its records is damaged or not there."""
    earlier = read_evaluation(folder)
    ended = outcomes_by_task(earlier).keys() & {one.instance_id for one in plan.tasks}
    if not outcomes_by_task(earlier):
        raise UsageError(f"the baseline {folder} has no outcome yet: let it end first")
    before, now = earlier.manifest.identity, msgspec.to_builtins(plan.manifest.identity)
    unlike = tuple(text for key, text in _ALIKE.items() if before.get(key) != now.get(key))
    unlike += _other_sampling(before["model"], now["model"])
    if unlike and not allow:
        raise UsageError(
            f"the baseline {folder} was made with {' and '.join(unlike)}, so the difference would not be the "
            "model's: evaluate both alike, or --any-baseline to compare all the same"
        )
    lost = [f"damaged records ({flaw})" for flaw in earlier.flaws[:1]]
    if ended and len(ended) < len(plan.tasks):
        lost.append(f"an end of only {len(ended)} of the {len(plan.tasks)} tasks")
    return (*unlike, *lost)


def _other_sampling(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    if before["kind"] not in _SAMPLED or now["kind"] not in _SAMPLED:
        return ()
    apart = ((key, before.get(key), now.get(key)) for key in ("temperature", "max_tokens"))
    told = ", ".join(
        f"teacher.{key} {one} there and {other} here" for key, one, other in apart if one != other
    )
    return (f"other sampling ({told})",) if told else ()


def write_results(
    plan: Plan, evaluation: Evaluation, baseline: Path | None = None, differences: tuple[str, ...] = ()
) -> Results:
    """Work out the figures from the records, and write them and SWE-bench's files."""
    counting = {one.instance_id for one in sound(plan, evaluation)}
    ended = outcomes_by_task(evaluation, plan.config.seeds)
    rows = {name: row for name, row in ended.items() if name in counting}
    results = _results(plan, evaluation, counting, rows)
    if baseline:
        results = _compared(results, rows, baseline, differences)
    patches = _patches(plan, evaluation)
    names = [one.instance_id for one in plan.tasks]
    for seed in range(plan.config.seeds):
        ends = {one.task: one for one in evaluation.outcomes if one.seed == seed}
        write_predictions(
            evaluation.path, plan.model, seed,
            {name: patches[trial_id(name, seed)] for name in names if trial_id(name, seed) in patches},
        )  # fmt: skip
        write_totals(evaluation.path, seed, names, ends)
    replace(evaluation.path / RESULTS, msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    return results


def _results(plan: Plan, evaluation: Evaluation, counting: set[str], rows: Rows) -> Results:
    """`counting` are the tasks that count, `rows` those of them that ended with every seed."""
    ends = [one for one in evaluation.outcomes if one.task in counting]
    return Results(
        model=plan.model,
        tasks=len(counting),
        seeds=plan.config.seeds,
        owed=len(owed(plan, evaluation)),
        rate=rate_of(rows) if rows else None,
        states=dict(sorted(Counter(str(one.state) for one in ends).items())),
        left_out={one.task: one.problem for one in evaluation.checks if one.problem},
        flaky=tuple(sorted({test for one in ends for test in one.flaky})),
        behaviour=behaviour_of(evaluation.rollouts, plan.profile) if plan.profile else None,
        spent=read_ledger(evaluation.path / LEDGER, evaluation.proven, price_of(plan.config.teacher)),
    )


def _compared(results: Results, rows: Rows, baseline: Path, differences: tuple[str, ...]) -> Results:
    earlier = outcomes_by_task(read_evaluation(baseline))
    if not earlier.keys() & rows.keys():
        return results
    comparison = compare(earlier, rows)
    return msgspec.structs.replace(
        results,
        baseline=str(baseline),
        differences=differences,
        comparison=comparison,
        sentence=comparison.sentence(),
    )


def outcomes_by_task(evaluation: Evaluation, seeds: int = 0) -> Rows:
    """Task → resolved, by seed, of the tasks that ended with every one of so many seeds; 0: as many as any
    task has."""
    ended = list(evaluation.ended().values())
    wanted = range(seeds or 1 + max((one.seed for one in ended), default=-1))
    found: dict[str, dict[int, Outcome]] = {}
    for one in ended:
        found.setdefault(one.task, {})[one.seed] = one
    return {
        task: [row[seed].resolved for seed in wanted]
        for task, row in found.items()
        if wanted and all(seed in row for seed in wanted)
    }


def _patches(plan: Plan, evaluation: Evaluation) -> dict[str, str]:
    """Trial → patch handed in, of the trials that have ended."""
    ended = evaluation.ended()
    if plan.predictions is not None:
        return {key: plan.predictions.get(one.task, "") for key, one in ended.items()}
    handed = {trial_id(one.task, one.attempt): one.patch for one in evaluation.rollouts}
    return {key: handed.get(key, "") for key in ended}

"""`sera evaluate`: how many of a repository's tasks a model resolves."""

import asyncio
from collections import Counter
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    FILE,
    PATH,
    FloatRange,
    IntRange,
    complain,
    console,
    counted,
    json_option,
    print_json,
    table,
    tell_flaws,
)
from sera.cli.interrupts import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from sera.evaluation.behaviour import Behaviour
    from sera.evaluation.folder import Evaluation
    from sera.evaluation.plan import Plan
    from sera.evaluation.record import Outcome
    from sera.evaluation.results import Results
    from sera.evaluation.statistics import Comparison, Interval
    from sera.evaluation.trials import Trials


@click.command(
    epilog="""\b
Examples:
  sera evaluate tasks --model ./checkpoint --out after --baseline before
  sera evaluate tasks --model http://localhost:8000/v1 --served-as my-student --out after
  sera evaluate tasks --model gold --out gold
  sera evaluate tasks --predictions preds.jsonl --out judged
The same command once more goes on where the last one stopped. A key for a server is read from
the environment variable SERA_API_KEY."""
)
@click.argument("tasks", type=PATH)
@click.option(
    "--model",
    metavar="URL|CHECKPOINT|NAME",
    help="A server, weights of this machine, `rehearsal`, or `gold` and `empty`: no model at all.",
)
@click.option(
    "--served-as", metavar="NAME", help="The model's name at that URL; needed if it serves several."
)
@click.option(
    "--predictions", type=FILE, metavar="FILE", help="Judge the patches of a file, without a model."
)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The folder; made if it is missing.")
@click.option("--config", "file", type=FILE, help="Settings in TOML.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option("--seeds", type=IntRange(1), metavar="N", help="Rollouts of each task.  [default: 3]")
@click.option("--context", type=IntRange(1024), metavar="TOKENS", help="Of a conversation.  [default: 32768]")
@click.option(
    "--concurrency",
    type=IntRange(1),
    metavar="K",
    help="Rollouts at once.  [default: 16 at a server, 1 here]",
)
@click.option("--require-profile", is_flag=True, default=None, help="Refuse a model without a saved harness.")
@click.option("--baseline", type=PATH, metavar="DIR", help="An earlier evaluation to compare with.")
@click.option("--any-baseline", is_flag=True, help="Compare also with one of other tasks or another harness.")
@click.option("--max-usd", type=FloatRange(0, min_open=True), help="Dollars it may cost in all.")
@click.option("--max-tokens", type=IntRange(1), help="Tokens it may use in all.")
@click.option("--max-hours", type=FloatRange(0, min_open=True), help="Hours it may work in all.")
@json_option
def command(
    tasks: Path,
    model: str | None,
    served_as: str | None,
    predictions: Path | None,
    out: Path,
    file: Path | None,
    pairs: tuple[str, ...],
    baseline: Path | None,
    any_baseline: bool,
    as_json: bool,
    **given: float | bool | None,
) -> None:
    """Have a model carry out the tasks of TASKS and judge its patches by their tests.

    Each task is worked on once per seed by the agent of `sera generate`, in a sandbox over the task's
    starting tree. Its patch is applied to a clean one, and the task's tests are run.
    """
    from sera.evaluation.config import EvaluateConfig
    from sera.evaluation.folder import open_evaluation
    from sera.evaluation.models import check_served, model_settings
    from sera.evaluation.plan import plan_evaluation
    from sera.evaluation.results import check_baseline, write_results
    from sera.sandboxes.protections import require
    from sera.settings import load_config
    from sera.teachers import RemoteConfig

    if bool(model) == bool(predictions):
        raise click.UsageError("give --model or --predictions, one of them")
    asked = model_settings(model, served_as) if model else {"predictions": str(predictions)}
    numbers = {f"limits.{name}" if name.startswith("max_") else name: value for name, value in given.items()}
    config = load_config(EvaluateConfig, file, pairs, {**numbers, **asked})
    require(config.sandbox)
    plan = plan_evaluation(tasks, config)
    if isinstance(config.teacher, RemoteConfig) and _owes_rollouts(plan, out):
        asyncio.run(check_served(config.teacher, config.context))
    differences = check_baseline(baseline, plan, any_baseline) if baseline else ()
    for notice in plan.notices:
        complain(notice)
    with open_evaluation(out, plan.manifest, plan.profile) as evaluation:
        halted = _work(plan, evaluation)
        results = write_results(plan, evaluation, baseline, differences)
    if as_json:
        print_json(results)
    else:
        _print(results)
    if halted:
        complain(f"{halted}; everything so far is saved, and the same command goes on with the "
                 f"{results.owed} rollouts left")  # fmt: skip
    elif results.owed:
        complain(f"{results.owed} rollouts have failed; {out / 'outcomes.jsonl'} says why, and the same command "
                 "tries them again")  # fmt: skip
    if halted or results.owed:
        raise click.exceptions.Exit(EXIT_INTERRUPTED if halted == INTERRUPTED else EXIT_FAILED)


# ── working ───────────────────────────────────────────────────────────────────────────────────────


class _Rate:
    """The resolve rate so far, for the progress line."""

    def __init__(self, evaluation: "Evaluation") -> None:
        self._states = Counter(str(one.state) for one in evaluation.ended().values())

    def count(self, outcome: "Outcome") -> None:
        """One more trial has ended."""
        self._states[str(outcome.state)] += 1

    def __str__(self) -> str:
        ended = self._states.total() - self._states["failed"]
        return f"{self._states['resolved']} of {ended} resolved so far" if ended else ""


def _owes_rollouts(plan: "Plan", out: Path) -> bool:
    """Whether the model will be asked anything."""
    from sera.evaluation.folder import EVALUATION, read_evaluation
    from sera.evaluation.trials import owed

    if plan.predictions is not None:
        return False
    return not (out / EVALUATION).is_file() or bool(owed(plan, read_evaluation(out)))


def _work(plan: "Plan", evaluation: "Evaluation") -> str:
    """Check model and tasks, then work off the trials; why it was ended early, or nothing."""
    from sera.errors import Halted

    try:
        return asyncio.run(_evaluate(plan, evaluation))
    except (asyncio.CancelledError, Halted):
        return INTERRUPTED


async def _evaluate(plan: "Plan", evaluation: "Evaluation") -> str:
    from sera.cli.first_check import first_check
    from sera.cli.progress import progress, telling
    from sera.evaluation.asking import teacher_config
    from sera.evaluation.trials import Trials, owed, sound
    from sera.runs import LEDGER, SpendingLimits, open_ledger
    from sera.teachers import RemoteConfig, Waits, make_teacher, price_of

    wanted, limits, waits = teacher_config(plan.config), plan.config.limits, Waits()
    metered = isinstance(wanted, RemoteConfig) or limits != SpendingLimits()
    with open_ledger(evaluation.path / LEDGER, limits, price_of(wanted), evaluation.proven) as ledger:
        tell_flaws(evaluation.flaws, ledger.summary())
        asks = plan.predictions is None and owed(plan, evaluation)
        teacher = make_teacher(wanted, ledger if metered else None, waits) if asks else None
        trials = Trials(plan, evaluation, teacher, waits)
        with interruptible(trials):
            async with teacher or nullcontext():
                if teacher and plan.profile:
                    with telling(waits):
                        await trials.first(partial(first_check, wanted, teacher, plan.profile, False))
                await _check_tasks(plan, trials)
                total, left = len(sound(plan, evaluation)) * plan.config.seeds, len(owed(plan, evaluation))
                title = f"evaluating {plan.model}"
                with progress(title, total, total - left, _Rate(evaluation), waits) as finished:
                    await trials.work(finished)
    return trials.halted


async def _check_tasks(plan: "Plan", trials: "Trials") -> None:
    from sera.evaluation.models import SCRIPTED

    if plan.config.check and plan.config.predictions not in SCRIPTED:
        if waiting := trials.unchecked():
            complain(f"checking {counted(len(waiting), 'task')}, each by its own patch and by none")
        await trials.check()


# ── showing ───────────────────────────────────────────────────────────────────────────────────────


def _print(results: "Results") -> None:
    out = console()
    out.print(f"{results.model}: {counted(results.tasks, 'task')}, {counted(results.seeds, 'seed')}")
    if results.rate:
        spread = f" ± {results.rate.deviation:.1f}" if results.rate.deviation is not None else ""
        out.print(f"resolved: {results.rate.mean:.1f} %{spread}, {_between(results.rate.interval)} of "
                  f"{counted(results.rate.tasks, 'task')}")  # fmt: skip
    out.print(
        table("", ["rollouts", "became"], [(n, state) for state, n in results.states.items()], ["rollouts"])
    )
    if results.behaviour:
        out.print(table("Rollouts", ["figure", ""], _rows(results.behaviour), [""]))
    for task, problem in results.left_out.items():
        out.print(f"left out: {task}: {problem}")
    if results.flaky:
        out.print(f"flaky, counted as passed: {', '.join(results.flaky)}")
    if results.comparison:
        out.print(table(f"Against {results.baseline}", ["figure", ""], _compared(results.comparison), [""]))
        if results.differences:
            out.print(f"the baseline was made with {' and '.join(results.differences)}")
        out.print(results.sentence)


def _between(interval: "Interval") -> str:
    return f"95 % interval {interval.low:.1f} to {interval.high:.1f}"


def _rows(behaviour: "Behaviour") -> list[tuple[str, str]]:
    shares = behaviour.shares()
    return [
        ("turns with a strict call", shares["strict"]),
        ("turns with a call after repair", shares["repaired"]),
        ("turns without a usable call", shares["unusable"]),
        ("steps", f"{behaviour.steps:.1f}"),
        ("prompt tokens", f"{behaviour.prompt_tokens:,.0f}"),
        ("completion tokens", f"{behaviour.completion_tokens:,.0f}"),
        ("seconds", f"{behaviour.seconds:.1f}"),
        ("empty patches", shares["empty"]),
        *((f"ended: {end}", str(count)) for end, count in behaviour.ends.items()),
        *((f"audit, {kind}", str(count)) for kind, count in behaviour.findings.items()),
        ("rollouts that cheated", str(behaviour.cheating)),
    ]


def _compared(comparison: "Comparison") -> list[tuple[str, str]]:
    ratio = comparison.signal_to_noise
    return [
        ("tasks in both", str(comparison.tasks)),
        ("difference in points", f"{comparison.difference:+.1f}"),
        ("95 % interval", f"{comparison.interval.low:+.1f} to {comparison.interval.high:+.1f}"),
        ("won, lost", f"{comparison.won}, {comparison.lost}"),
        ("p (sign-flip)", f"{comparison.p_value:.3f}"),
        ("signal to noise", f"{ratio:.2f}" if ratio is not None else "unknown"),
    ]

"""The words and numbers of the page, as plain text in tables."""

import platform
import shlex
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

from sera.datasets.look.tables import Table
from sera.evaluation.behaviour import Behaviour
from sera.evaluation.statistics import Interval, told
from sera.redaction.stored import stored
from sera.repositories.remotes import redacted
from sera.settings import to_tree
from sera.specialize.config import SpecializeConfig, pairs_of
from sera.specialize.plan import Request
from sera.specialize.report.findings import Evaluated, Findings
from sera.specialize.stage import Stage, without_secrets

_PACKAGES = ("sera", "torch", "transformers", "trl", "peft", "tokenizers", "xllamacpp", "gguf")
_HOUR = 3600


def name_of(request: Request, found: Findings) -> str:
    """The repository's name."""
    if found.tasks:
        return found.tasks.name
    return redacted(request.repo).rstrip("/").rpartition("/")[2]


def headline(found: Findings) -> str:
    """The result in a sentence or two, with how sure it is."""
    sides = [(name, one) for name, one in (("before", found.before), ("after", found.after)) if one]
    rates = [
        f"{told(one.results.rate.mean, one.results.rate.interval)} {name}"
        for name, one in sides
        if one.results.rate
    ]
    if not rates:
        return "Nothing is evaluated yet, so nothing can be said about what was learnt."
    tasks = max(one.results.tasks for _, one in sides)
    said = f"Of {tasks} tasks kept from training the student resolves {' and '.join(rates)} the training."
    comparison = found.after.results.comparison if found.after else None
    if comparison is None:
        return f"{said} There is no comparison: only one side of the training is evaluated."
    return f"{said} {comparison.sentence('The trained student')}"


def warning(found: Findings) -> str:
    """What must be known before any number is read, or nothing."""
    return found.dataset.rehearsal if found.dataset else ""


def facts(found: Findings) -> Iterator[tuple[str, str]]:
    """What is said in one number."""
    for name, one in (("before", found.before), ("after", found.after)):
        if one and one.results.rate:
            yield f"resolved {name}", told(one.results.rate.mean, one.results.rate.interval)
        if one and one.results.behaviour:
            yield f"strict tool calls {name}", one.results.behaviour.shares()["strict"]
    if found.trained and found.trained.held_out_before and found.trained.held_out_after:
        yield "held-out loss", f"{found.trained.held_out_before:.3f} → {found.trained.held_out_after:.3f}"
    if found.summary and found.summary.mean_recall is not None:
        yield "mean r", f"{found.summary.mean_recall:.2f}"
    if found.dataset:
        yield "rows", f"{found.dataset.rows:,}"
        yield "tokens", f"{found.dataset.tokens.total:,}"
    if found.done:
        yield "time worked", clock(sum(done.seconds for done in found.done.values()))
        yield "dollars", f"${sum(_dollars(found).values()):,.2f}"


def rates(found: Findings) -> Iterator[Table]:
    """Resolve rates, states of the rollouts, and the comparison."""
    asked = [one for one in (found.before, found.after) if one]
    head = ("", *_sides(found))
    states = sorted({state for one in asked for state in one.results.states})
    rows = [
        ("model", *(one.results.model for one in asked)),
        ("tasks", *(f"{one.results.tasks:,}" for one in asked)),
        ("seeds", *(f"{one.results.seeds}" for one in asked)),
        ("resolved", *(_rate(one) for one in asked)),
        (
            "95 % interval",
            *(_range(one.results.rate.interval) if one.results.rate else "" for one in asked),
        ),
        *(
            (f"rollouts {state}", *(f"{one.results.states.get(state, 0):,}" for one in asked))
            for state in states
        ),
        ("owed", *(f"{one.results.owed:,}" for one in asked)),
        ("tasks left out as broken", *(f"{len(one.results.left_out):,}" for one in asked)),
    ]
    if asked:
        yield Table("Tasks of the evaluation", head, rows, (1, 2)[: len(asked)])
    if found.after and (comparison := found.after.results.comparison):
        noise = comparison.signal_to_noise
        rows = [
            ("difference in points", f"{comparison.difference:+.1f}"),
            ("95 % interval", f"{comparison.interval.low:+.1f} – {comparison.interval.high:+.1f}"),
            ("tasks won", f"{comparison.won}"),
            ("tasks lost", f"{comparison.lost}"),
            ("p (sign-flip)", f"{comparison.p_value:.3f}"),
            ("signal to noise", "unknown with one seed" if noise is None else f"{noise:.2f}"),
        ]
        yield Table("After against before", ("", "value"), rows, (1,))
    if found.tasks:
        made = [*found.tasks.counts.items(), *found.tasks.operators.items()]
        yield Table("Tasks made", ("kind", "number"), [(kind, f"{n:,}") for kind, n in made], (1,))


def behaviour(found: Findings) -> Iterator[Table]:
    """How the model answered."""
    sides = [(name, one.results.behaviour) for name, one in _named(found) if one.results.behaviour]
    asked: list[Behaviour] = [one for _, one in sides]
    if not asked:
        return
    ends, shares = sorted({end for one in asked for end in one.ends}), [one.shares() for one in asked]
    rows = [
        ("answers", *(f"{one.turns.total:,}" for one in asked)),
        ("with a strict call", *(one["strict"] for one in shares)),
        ("with a call after repair", *(one["repaired"] for one in shares)),
        ("without a usable call", *(one["unusable"] for one in shares)),
        ("rollouts", *(f"{one.rollouts:,}" for one in asked)),
        ("answers of a rollout", *(f"{one.steps:.1f}" for one in asked)),
        ("rollouts without a change", *(one["empty"] for one in shares)),
        *((f"ended: {end}", *(f"{one.ends.get(end, 0):,}" for one in asked)) for end in ends),
    ]
    yield Table("Answers of the model", ("", *(name for name, _ in sides)), rows, (1, 2)[: len(asked)])


def training(found: Findings) -> Iterator[Table]:
    """What was trained, and how."""
    if not (one := found.trained):
        return
    plan = one.plan
    rows = [
        ("student", one.student),
        ("trainer", one.trainer),
        ("rows", f"{plan.rows:,}, and {plan.held_out:,} held out"),
        ("steps", f"{one.steps:,}"),
        ("parameters", f"{plan.parameters / 1e6:,.1f} million, {plan.trained_parameters / 1e6:,.1f} trained"),
        ("longest row", f"{plan.longest:,} tokens"),
        ("loss, first and last step", _pair(one.loss_first, one.loss_last)),
        ("held-out loss, before and after", _pair(one.held_out_before, one.held_out_after)),
    ]
    yield Table("The training", ("", "value"), rows)


def data(found: Findings) -> Iterator[Table]:
    """The run, the dataset, and what was left out."""
    if found.summary:
        rows = [(state, f"{number:,}") for state, number in found.summary.states.items()]
        yield Table("Tasks of the run", ("state", "number"), rows, (1,))
        reasons = [(reason, f"{number:,}") for reason, number in found.summary.reasons.items()]
        yield Table("Not complete", ("state and reason", "number"), reasons, (1,))
    if found.dataset:
        made = found.dataset
        rows = [
            ("rows", f"{made.rows:,}"),
            ("rows of the rehearsal teacher", f"{made.rehearsed:,}"),
            ("cut rows", f"{made.cut_rows:,}"),
            ("tokens", f"{made.tokens.total:,}"),
            ("longest row", f"{made.tokens.max:,}"),
        ]
        yield Table("The dataset", ("", "number"), rows, (1,))
        counts = made.counts.items()
        left = [(stage, why, f"{n:,}") for stage, count in counts for why, n in count.rejected.items()]
        yield Table("Left out of the dataset, and why", ("stage", "reason", "samples"), left, (2,))


def audit(found: Findings) -> Iterator[Table]:
    """What the audit found, in the run and in the evaluations."""
    columns = [("run", found.audited)] if found.summary else []
    columns += [
        (name, one.results.behaviour.findings) for name, one in _named(found) if one.results.behaviour
    ]
    if not columns:
        return
    kinds = sorted({kind for _, counts in columns for kind in counts})
    rows = [(kind, *(f"{counts.get(kind, 0):,}" for _, counts in columns)) for kind in kinds]
    yield Table(
        "Rollouts with a finding",
        ("severity and kind", *(name for name, _ in columns)),
        rows or [("nothing was found", *("0" for _ in columns))],
        tuple(range(1, len(columns) + 1)),
    )


def cost(stages: dict[str, Stage], found: Findings) -> Iterator[Table]:
    """Time, tokens and dollars, stage by stage."""
    tokens, dollars = _tokens(found), _dollars(found)
    rows = [
        (
            name,
            clock(found.done[name].seconds),
            f"{tokens[name]:,}" if name in tokens else "",
            f"${dollars[name]:,.2f}" if name in dollars else "",
        )
        for name in stages
        if name in found.done
    ]
    if rows:
        seconds = sum(done.seconds for done in found.done.values())
        rows.append(("all", clock(seconds), f"{sum(tokens.values()):,}", f"${sum(dollars.values()):,.2f}"))
    yield Table("Of each stage", ("stage", "worked", "tokens", "dollars"), rows, (1, 2, 3))


def identities(found: Findings) -> Iterator[Table]:
    """What it was made with and of, by version and hash."""
    rows = [("Python", platform.python_version()), ("machine", platform.platform())]
    rows += [(name, number) for name in _PACKAGES if (number := _version(name))]
    yield Table("Versions, where this page was made", ("what", "version"), rows)
    rows = []
    if found.tasks:
        commit = found.tasks.commit + " with uncommitted changes" * found.tasks.dirty
        rows += [("files", found.tasks.tree), ("commit", commit), ("tasks", found.tasks.sha256)]
    if found.dataset:
        rows += [("harness profile", found.dataset.profile), ("chat template", found.dataset.template)]
        rows += [("tokenizer", found.dataset.tokenizer)]
    if found.trained:
        rows += [("dataset", found.trained.dataset)]
    yield Table("Hashes", ("of", "hash"), [row for row in rows if row[1]])


def settings(config: SpecializeConfig) -> list[str]:
    """What was set, as `--set` takes it."""
    pairs = pairs_of(stored(to_tree(config)))
    return [f"--set {shlex.quote(redacted(pair))}" for pair in pairs if _is_set(pair)]


def shell(words: Iterable[str]) -> str:
    """A command line, without what is secret in it."""
    return shlex.join(redacted(word) for word in without_secrets(tuple(words)))


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    hours, rest = divmod(round(seconds), _HOUR)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {left:02d} s" if minutes else f"{left} s"


def _is_set(pair: str) -> bool:
    return pair.partition("=")[2] not in ('""', "")


def _named(found: Findings) -> Iterator[tuple[str, Evaluated]]:
    yield from ((name, one) for name, one in (("before", found.before), ("after", found.after)) if one)


def _sides(found: Findings) -> list[str]:
    return [name for name, _ in _named(found)]


def _rate(one: Evaluated) -> str:
    rate = one.results.rate
    if rate is None:
        return "nothing has ended"
    return f"{rate.mean:.1f} %" + (f" ± {rate.deviation:.1f}" if rate.deviation is not None else "")


def _range(interval: Interval) -> str:
    return f"{interval.low:.1f} – {interval.high:.1f} %"


def _pair(first: float | None, last: float | None) -> str:
    return " → ".join("unknown" if value is None else f"{value:.4f}" for value in (first, last))


def _tokens(found: Findings) -> dict[str, int]:
    """By stage: read and written, or trained on."""
    told = {}
    if found.summary:
        told["generate"] = found.summary.usage.prompt + found.summary.usage.completion
    for name, one in _named(found):
        if used := one.results.behaviour:
            told[name] = round((used.prompt_tokens + used.completion_tokens) * used.rollouts)
    if found.steps:
        told["train"] = sum(step.tokens or 0 for step in found.steps)
    return told


def _dollars(found: Findings) -> dict[str, float]:
    """By stage: by the ledgers, what is uncertain counted at its worst; of a training, as it was forecast."""
    told = {}
    if found.summary:
        told["generate"] = found.summary.spent.total.usd
    told |= {name: one.results.spent.total.usd for name, one in _named(found)}
    if found.trained:
        told["train"] = found.trained.plan.dollars
    return told


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

"""The launch command of a model on given GPUs with a reason for each flag, or why it does not fit."""

from collections.abc import Iterator
from pathlib import Path

from sera.errors import UsageError
from sera.records import Record
from sera.teachers.serving.engines import ENGINES, Flag, Order
from sera.teachers.serving.facts import Engine, Gpu, Model, find_model, gpus
from sera.teachers.serving.folders import model_of
from sera.teachers.serving.memory import TYPICAL, Fit, Layout, fit, layout

_USUAL = 131_072
_CONCURRENCY = 32
"""The method's authors' own number of rollouts at one server."""
_MACHINE = (1, 2, 4, 8)
_ANSWER = 8192
"""`teacher.max_tokens`, unless told otherwise: what each request of `sera evaluate` asks for at most."""
_ANSWERED = 4
"""Of a context, an answer gets one part in so many at most."""


class Wanted(Record, frozen=True):
    """What a launch command is asked for. None: as suits the model and the GPUs."""

    model: str
    """A name that `models.toml` knows, or a folder with a `config.json`."""
    engine: Engine = "vllm"
    gpu: str = "h100"
    gpus: int = 8
    context: int | None = None
    """Tokens of the longest conversation. Default: what a checkpoint was trained with, else 131,072, or the
    model's limit if that is less."""
    concurrency: int | None = None
    """Trajectories at once. Default: 32, or as many as fit if that is less."""
    host: str = "127.0.0.1"
    port: int = 8000


class Launch(Record, frozen=True):
    """A command that fits."""

    model: Model
    layout: Layout
    fit: Fit
    concurrency: int
    conversation: int
    """Tokens of the longest one that there is room for."""
    answer: int
    """Tokens of an answer that a student's server has room for beyond it; 0 for a teacher's."""
    flags: tuple[Flag, ...]
    command: str
    """For a shell, over several lines."""


def plan_launch(wanted: Wanted) -> Launch:
    """The command, or `UsageError` with the reason and the smallest machine that would do."""
    model, gpu = _model(wanted.model), _gpu(wanted.gpu)
    asked = wanted.context or model.trained or min(_USUAL, model.context)
    answer = min(_ANSWER, model.context // _ANSWERED) if model.student else 0
    context = min(asked + answer, model.context)
    if asked > model.context:
        raise UsageError(
            f"{model.name} was trained for {model.context:,} tokens of context, not {asked:,}: ask for at "
            f"most that. Stretching it with YaRN is not covered: its option differs between engine versions"
        )
    if wanted.gpus > max(_MACHINE):
        raise UsageError(
            f"{wanted.gpus} GPUs are more than one machine: launch one server on each, and list them all in "
            f"teacher.endpoints"
        )
    tried = list(_tries(wanted, model, gpu, wanted.gpus, context))
    chosen = _choice([one for one in tried if isinstance(one, _Try)], wanted.concurrency)
    if chosen:
        return _launch(wanted, model, chosen, answer)
    told = [one if isinstance(one, str) else one.shortage(wanted.concurrency or 1) for one in tried]
    raise UsageError(
        f"{model.name} does not fit on {wanted.gpus} × {wanted.gpu}: {'; '.join(told)}. "
        f"{_advice(wanted, model, context)}"
    )


class _Try(Record, frozen=True):
    """One layout with its memory."""

    layout: Layout
    fit: Fit

    def shortage(self, concurrency: int) -> str:
        """Why it does not do."""
        found, precision = self.fit, self.layout.precision
        if found.pool_gb <= 0:
            why = f"{found.weights_gb:.0f} GB of weights on each GPU of {found.memory_gb:g} GB leave no room"
        elif found.tokens < found.context:
            why = f"the cache holds {found.tokens:,} tokens, and one conversation may have {found.context:,}"
        else:
            length = min(TYPICAL, found.context)
            why = f"the cache holds {found.typical:.1f} trajectories of {length:,} tokens, not {concurrency}"
        return f"{precision}: {why}"


def _choice(tried: list[_Try], concurrency: int | None) -> _Try | None:
    """The first that holds what is asked for; if nothing was asked for, the roomiest that holds anything."""
    if enough := [one for one in tried if one.fit.holds(concurrency or _CONCURRENCY)]:
        return enough[0]
    some = [one for one in tried if concurrency is None and one.fit.holds(1)]
    return max(some, key=lambda one: one.fit.typical, default=None)


def _tries(wanted: Wanted, model: Model, gpu: Gpu, number: int, context: int) -> Iterator[_Try | str]:
    """BF16, then FP8, each with its memory, or why it cannot be."""
    for precision in ("bf16", "fp8"):
        found = layout(model, gpu, number, precision)
        if isinstance(found, str):
            yield f"{precision}: {found}"
        else:
            memory = fit(model, gpu, found, context, ENGINES[wanted.engine].fraction)
            yield _Try(layout=found, fit=memory)


def _launch(wanted: Wanted, model: Model, chosen: _Try, answer: int) -> Launch:
    concurrency = wanted.concurrency or min(_CONCURRENCY, int(chosen.fit.typical))
    order = Order(
        model=model,
        layout=chosen.layout,
        context=chosen.fit.context,
        answer=answer,
        concurrency=concurrency,
        host=wanted.host,
        port=wanted.port,
    )
    engine = ENGINES[wanted.engine]
    flags = tuple(engine.flags(order))
    return Launch(
        model=model,
        layout=chosen.layout,
        fit=chosen.fit,
        concurrency=concurrency,
        conversation=chosen.fit.context - answer,
        answer=answer,
        flags=flags,
        command=" \\\n    ".join([engine.start, *(flag.text for flag in flags)]),
    )


def _advice(wanted: Wanted, model: Model, context: int) -> str:
    """The smallest machines that hold it: of the same GPU first, else of others."""
    for kinds in ([wanted.gpu], list(gpus())):
        found = [(kind, _smallest(wanted, model, kind, context)) for kind in kinds]
        if enough := [f"{n[0]} × {kind} in {n[1].upper()}" for kind, n in found if n]:
            return f"Enough would be {' or '.join(enough)}"
    return "Ask for less context or concurrency: no machine with eight GPUs holds it"


def _smallest(wanted: Wanted, model: Model, kind: str, context: int) -> tuple[int, str] | None:
    """(GPUs, precision) of the smallest machine with that kind of GPU."""
    for number in _MACHINE:
        for one in _tries(wanted, model, gpus()[kind], number, context):
            if isinstance(one, _Try) and one.fit.holds(wanted.concurrency or 1):
                return number, one.layout.precision
    return None


def _model(name: str) -> Model:
    folder = Path(name).expanduser()
    return model_of(folder) if (folder / "config.json").is_file() else find_model(name)


def _gpu(name: str) -> Gpu:
    known = gpus()
    if name not in known:
        raise UsageError(f"no facts about the GPU {name!r}: known are {', '.join(known)}")
    return known[name]

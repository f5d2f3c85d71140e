"""What would end a later stage, found before the first: libraries, the student, the device, the schedule.

Only what no earlier stage can change is looked at; what depends on the rows, the training itself refuses.
"""

from importlib.util import find_spec

from sera.datasets.rendering import load_student
from sera.errors import UsageError
from sera.evaluation.models import SCRIPTED
from sera.models import find_weights
from sera.models.weights import Kind, known_weights
from sera.specialize.config import REHEARSAL, Settled, settle
from sera.specialize.fitting import fitted
from sera.specialize.plan import Request, is_here, student_options
from sera.specialize.run import outlook
from sera.specialize.stage import State
from sera.training import TrainConfig, checks, forecast
from sera.training.gguf_export import refuse_inexpressible
from sera.training.student import is_on_hub, open_student
from sera.training.trainers import find_trainer
from sera.training.trl.building import refuse_missing

_ROWS_OF_A_FUNCTION = 2
"""T1 and T2."""
_EXTRAS = {
    "dataset": ("jinja2", "rensa", "tokenizers"),
    "hub": ("huggingface_hub",),
    "local": ("xllamacpp",),
    "train": ("gguf", "peft", "torch", "transformers", "trl"),
}
"""What stages import of each extra of sera."""
_TO_DO = {State.NEW, State.UNFINISHED, State.CHANGED, State.ANEW}


def refuse_unready(request: Request) -> None:
    """Raises `UsageError`, `ModelError` or `TrainError` with what a stage that is to be done would be refused
    with, as far as that is known by now."""
    due = {one.stage.name for one in outlook(request) if one.state in _TO_DO}
    settled, student = settle(fitted(request.config)), request.config.student
    if "dataset" in due:
        _refuse_without("dataset", "dataset", "--until generate")
        if request.config.dataset.keys() & {"student", "tokenizer"} or not student_options(student):
            own = settled.dataset
            load_student(own.student, own.tokenizer, own.template)
    if "train" in due:
        _refuse_untrainable(request, settled)
    if "before" in due:
        _refuse_unaskable("before", request.config.base or student, "--skip before")
    if "after" in due:
        if request.config.trained:
            _refuse_unaskable("after", request.config.trained, "--skip after")
        else:
            _refuse_without("local" if request.config.gguf else "train", "after", "--skip after")


def _refuse_untrainable(request: Request, settled: Settled) -> None:
    config, student, trainer = settled.train, request.config.student, find_trainer("trl")
    _refuse_without("train", "train", "--until dataset")
    if is_on_hub(student):
        _refuse_without("hub", "train", "give the student's folder")
    device = forecast.find_device(config)
    checks.refuse_spread(trainer, device.number)
    checks.refuse_without_gpu(config, device)
    forecast.accumulation(config, device.number)
    if not device.is_cpu:
        refuse_missing(config)
    _refuse_schedule(config, settled.generate.functions, device.number)
    if not is_on_hub(student) and (is_here(student) or student not in known_weights()):
        opened = open_student(student)
        if request.config.gguf:
            refuse_inexpressible(opened.shape)
        least = forecast.memory(opened.shape, config, device, trainer.bytes_of(config), longest=1)
        checks.refuse_too_little(opened.name, least, adapter=config.lora is not None)


def _refuse_schedule(config: TrainConfig, functions: int, devices: int) -> None:
    """Raises `UsageError` if the learning rate would not be reached even with every row that there can be."""
    rows = functions * _ROWS_OF_A_FUNCTION
    _, steps = forecast.steps_of(rows, config, devices)
    if config.warmup_steps >= steps:
        raise UsageError(
            f"generate.functions={functions} gives {rows:,} rows at most, which are {steps} steps, and "
            f"train.warmup_steps={config.warmup_steps} of them would be the learning rate's rise: ask for "
            f"more functions, or set train.warmup_steps={steps // 10}"
        )


def _refuse_unaskable(stage: str, model: str, without: str) -> None:
    """Raises `UsageError` or `ModelError` if a model of this machine cannot be evaluated here."""
    if "://" in model or model in (*SCRIPTED, REHEARSAL):
        return
    if is_on_hub(model):
        raise UsageError(
            f"the stage {stage} evaluates {model} on this machine, and it is only on the hub: bring it here "
            f"(hf download {model} --local-dir DIR) and name the folder, give the URL of a server that has "
            f"it (--set base=URL, and trained=URL for later), or leave the stage out with {without}"
        )
    is_gguf = model in known_weights() or find_weights(model).kind is Kind.GGUF
    _refuse_without("local" if is_gguf else "train", stage, without)


def _refuse_without(extra: str, stage: str, without: str) -> None:
    if lacking := [name for name in _EXTRAS[extra] if not find_spec(name)]:
        raise UsageError(
            f"the stage {stage} needs libraries that are not installed ({', '.join(lacking)}): "
            f'pip install "sera[{extra}]", or go without: {without}'
        )

"""Training from end to end: look up, prove, forecast, train, finish."""

import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

from sera.datasets.exchange.contract import open_dataset
from sera.records import Record
from sera.training import checks, forecast
from sera.training.config import TrainConfig
from sera.training.contract import Job, Plan, Progress
from sera.training.finish import Finished, finish, finished_before
from sera.training.folder import CHECKPOINT, STATE, TOKENS, asked_of, opened, refuse_foreign
from sera.training.parity import refuse_unservable
from sera.training.rows import gather, split
from sera.training.student import open_student
from sera.training.trainers import find_trainer


class Request(Record, frozen=True, kw_only=True):
    """What a training is asked for."""

    dataset: Path
    student: str
    """A folder, a name on the hub, a GGUF, or a name that `sera model list` shows."""
    out: Path
    trainer: str = "trl"
    tokenizer: str = ""
    """A `tokenizer.json` in the place of the student's own."""
    template: str = ""
    """A chat template; empty: that which the dataset was rendered with."""
    harness: Path | None = None
    """Where the dataset's harness profile is, if it does not ship with sera."""
    config: TrainConfig = msgspec.field(default_factory=TrainConfig)


class Planned(NamedTuple):
    """A job that has passed everything, and what it will take."""

    job: Job
    plan: Plan


def plan_training(request: Request) -> Planned:
    """Look everything up, prove the dataset, and forecast. Whether it fits is `refuse_unfit`'s to say.

    Raises `UsageError`, `ModelError`, `DatasetError` or `TrainError` with what is wrong.
    """
    config, trainer = request.config, find_trainer(request.trainer)
    device = forecast.find_device(config)
    checks.refuse_spread(trainer, device.number)
    checks.refuse_without_gpu(config, device)
    forecast.accumulation(config, device.number)
    student = open_student(request.student, request.tokenizer)
    manifest = open_dataset(request.dataset).manifest
    names, reading = student.reading(request.template, manifest.template)
    checks.refuse_unlike(student, reading)
    profile = checks.find_profile(manifest.profile, request.harness)
    job = Job(
        dataset=checks.proven_dataset(request.dataset, names),
        student=student,
        reading=reading,
        names=names,
        profile=profile,
        config=config,
    )
    refuse_foreign(request.out, asked_of(job, trainer.name))
    plan = _plan(job, trainer.name, device)
    refuse_unservable(job)
    return Planned(job, plan)


def train_student(request: Request, progress: Progress) -> Finished:
    """Train, and put the finished student into `out/checkpoint`; a training that was interrupted goes on.

    Raises what `plan_training` raises, `TrainError` if it does not fit or goes wrong, and `Halted` if it was
    asked to stop.
    """
    job, plan = plan_training(request)
    checks.refuse_unfit(plan)
    out, trainer = request.out, find_trainer(request.trainer)
    with opened(out, asked_of(job, trainer.name)):
        if found := finished_before(out / CHECKPOINT):
            return found
        checks.refuse_full_disk(out, plan)
        weights = trainer.train(job, plan, out, progress)
        finished = finish(job, plan, weights, out)
        for done in (STATE, TOKENS):
            shutil.rmtree(out / done, ignore_errors=True)
        return finished


def _plan(job: Job, trainer: str, device: forecast.Device) -> Plan:
    config, shape = job.config, job.student.shape
    lengths, kept = split(job)
    longest = max(*lengths, *kept, 0)
    checks.refuse_long(longest, job.student, config)
    bins = gather(lengths, config.sequence) if config.packing else [[n] for n in range(len(lengths))]
    epoch, steps = forecast.steps_of(len(bins), config, device.number)
    checks.refuse_schedule(config, steps)
    adapter = forecast.adapter_parameters(shape, config) if config.lora else 0
    cost = find_trainer(trainer).bytes_of(config)
    memory = forecast.memory(shape, config, device, cost, longest)
    sequences = [[lengths[number] for number in numbers] for numbers in bins]
    waiting = forecast.waiting(shape, sequences, config, device.number)
    work = forecast.arithmetic(shape, lengths, bool(adapter)) * waiting * steps / epoch
    rate = device.flops * device.number * (1.0 if device.is_cpu else config.device.utilisation)
    seconds = work / rate
    hours = seconds / 3600
    return Plan(
        trainer=trainer,
        student=job.student.name,
        rows=len(lengths),
        held_out=len(kept),
        tokens=sum(lengths),
        longest=longest,
        steps=steps,
        parameters=shape.parameters,
        trained_parameters=adapter or shape.parameters,
        memory=memory,
        disk_gb=forecast.disk_gb(shape, config, cost),
        finishing_gb=forecast.finishing_gb(shape, config),
        hours=hours,
        hours_low=hours * forecast.FASTEST,
        hours_high=hours * forecast.SLOWEST,
        waiting=waiting,
        dollars=0.0 if device.is_cpu else hours * device.number * config.device.gpu_hour,
        tokens_per_second=sum(lengths) * steps / epoch / seconds,
        assumptions=_assumptions(config, device, waiting),
    )


def _assumptions(config: TrainConfig, device: forecast.Device, waiting: float) -> tuple[str, ...]:
    if device.is_cpu:
        return (
            "a processor is reckoned at 0.05 TFLOP/s a core, 0.025 to 0.065 for the bounds",
            "a processor costs nothing",
        )
    low, likely, high = (config.device.utilisation / by for by in (forecast.SLOWEST, 1, forecast.FASTEST))
    return (
        f"{device.number} × {device.name} at {likely:.0%} of {device.flops / 1e12:,.0f} TFLOP/s, "
        f"{low:.0%} to {high:.0%} for the bounds",
        f"waiting for the longest rows makes it {waiting:.2f} times as long",
        f"an hour of one GPU costs ${config.device.gpu_hour:g}",
        "evaluation and saving are not counted",
    )

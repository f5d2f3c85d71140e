"""What is seen of a training under way: figures of each step, states made whole, and requests to stop."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from sera.errors import Halted, TrainError
from sera.training.config import TrainConfig
from sera.training.contract import Plan, Progress, Step
from sera.training.folder import Metrics
from sera.training.trl.states import mark_whole

_MEASURED = 3
"""Steps that are measured at least."""


class Watch(TrainerCallback):  # type: ignore[misc]  # of a library without types
    """Called back by the trainer."""

    def __init__(self, metrics: Metrics, progress: Progress, pace: "Pace | None") -> None:
        self._metrics = metrics
        self._progress = progress
        self._pace = pace
        self._begun = time.monotonic()
        self._tokens = 0
        self.asked_to_stop = False
        self.measured_at = -1
        self._stopped_at: int | None = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """The clock of a step."""
        self._begun = time.monotonic()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and leave, if somebody asked for it."""
        if self.asked_to_stop and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
            self._stopped_at = state.global_step

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any], **_: Any) -> None:
        """A line of figures. Raises `TrainError` if the loss is no number any more."""
        if "loss" in logs:
            self._step(state, logs)
        elif "eval_loss" in logs:
            self.measured_at = state.global_step
            self._tell(
                Step(step=state.global_step, epoch=state.epoch or 0.0, held_out_loss=logs["eval_loss"])
            )

    def _step(self, state: Any, logs: dict[str, Any]) -> None:
        loss, norm = float(logs["loss"]), logs.get("grad_norm")
        if not isfinite(loss) or (norm is not None and not isfinite(norm)):
            raise TrainError(
                f"at step {state.global_step} the loss is {loss:g} and its gradient {norm}: training "
                f"has come "
                f"apart. Lower learning_rate or max_grad_norm, or set precision=fp32; the states "
                f"before are kept"
            )
        tokens = int(logs.get("num_tokens", 0))
        told = Step(
            step=state.global_step,
            epoch=logs.get("epoch", state.epoch or 0.0),
            loss=loss,
            learning_rate=logs.get("learning_rate"),
            grad_norm=norm,
            tokens=tokens - self._tokens,
            seconds=round(time.monotonic() - self._begun, 3),
        )
        self._tokens = tokens
        self._tell(told)
        if self._pace and (steps := self._pace.steps_in_time(told)) and steps < state.max_steps:
            state.max_steps = steps
            self._progress.shortened(steps)

    def _tell(self, step: Step) -> None:
        self._metrics.add(step)
        self._progress.step(step)

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """The state is whole now."""
        mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def refuse_unfinished(self, steps: int) -> None:
        """Raises `Halted` if it was stopped before its end."""
        if self._stopped_at is not None:
            raise Halted(
                f"stopped after step {self._stopped_at} of {steps}: the same command goes on from there"
            )


class Pace:
    """How many steps there is time for, measured on the first of them: see `TrlConfig.max_hours`."""

    def __init__(self, config: TrainConfig, plan: Plan) -> None:
        self._hours = config.trl.max_hours
        self._tokens = plan.tokens_per_second * plan.hours * 3600 / plan.steps
        """Of a step, in the mean over the dataset."""
        self._last = max(config.warmup_steps, _MEASURED)
        self._seen: list[Step] = []

    def steps_in_time(self, step: Step) -> int | None:
        """The number, after the last step that is measured; the first one, which warms up, does not count."""
        if step.step > 1:
            self._seen.append(step)
        if step.step != self._last:
            return None
        seconds = sum(one.seconds or 0.0 for one in self._seen)
        tokens = sum(one.tokens or 0 for one in self._seen)
        return max(self._last + 1, int(self._hours * 3600 * tokens / (max(seconds, 1e-9) * self._tokens)))


@contextmanager
def stopping(watch: Watch) -> Iterator[None]:
    """The first interrupt lets the step end and its state be saved; the second one ends the process."""

    def ask(number: int, frame: Any) -> None:  # noqa: ARG001
        watch.asked_to_stop = True
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, ask)
    except ValueError:  # only the main thread hears of signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

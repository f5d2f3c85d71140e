"""The embedded trainer: TRL's `SFTTrainer`, fed with token ids and labels.

TRL prepares nothing: rows come encoded and masked, and before the first step what its loader yields is
compared with the dataset, rendered again, token by token. Its loss looks only at trained positions, tile by
tile, so that no row's logits exist at once.

A state is saved every so many steps, and when somebody asks to stop. What a kill has left of one is thrown
away, and the last whole state is gone on from.
"""

import os
import shutil
from pathlib import Path

from sera.errors import TrainError, UsageError, boundary
from sera.training.config import TrainConfig
from sera.training.contract import Bytes, Job, Plan, Progress
from sera.training.folder import STATE, TOKENS, Metrics
from sera.training.forecast import find_device
from sera.training.rows import write_rows
from sera.training.trl.building import attention, make_trainer, only_trained_positions, refuse_missing
from sera.training.trl.loading import load_model, peft_config, quiet, tokenizer_for
from sera.training.trl.proof import refuse_leaks, refuse_other_rows
from sera.training.trl.states import TRAINED, last_state, mark_whole, step_of, steps_of, trained_weights

_TILE = (4096, 32_768)
"""Positions, and entries of the vocabulary, whose logits TRL has at once."""
_FOLDED_IN_16, _FOLDED_IN_32 = 38.0, 30.0
"""Bytes of each on a processor, with all that is made of it: measured."""
_SMALLER = "set activation_offload=true or trl.optimizer=adamw_8bit, or train an adapter (the recipe lora)"


class TrlTrainer:
    """See the module."""

    name = "trl"
    most_devices = 1

    def bytes_of(self, config: TrainConfig) -> Bytes:
        """Weights that are trained are held in 32 bits unless settings say 16, the frozen ones of an adapter
        in 16, or 4. A GPU folds a tile of logits in place, a processor with several copies in 32 bits."""
        on_cpu, lora, own = find_device(config).is_cpu, config.lora, config.trl
        held = 2.0 if config.in_sixteen else 4.0
        trained, averages = 4.0 if lora else held, 2.0 if own.optimizer == "adamw_8bit" else 8.0
        half = held == 2.0 or (config.precision == "bf16" and not on_cpu)
        return Bytes(
            weight=0.6 if lora and lora.quantized else held,
            gradient=trained,
            optimizer=averages,
            state=trained + averages,
            activation=2.0 if half else 4.0,
            stream=held,
            copy=2.0 if half and held > 2.0 else 0.0,
            tile=_TILE,
            logit=(_FOLDED_IN_16 if half else _FOLDED_IN_32) if on_cpu else 2.0,
        )

    def train(self, job: Job, plan: Plan, out: Path, progress: Progress) -> Path:
        """Train in this process; the folder has a whole model, or an adapter."""
        done = out / STATE / TRAINED
        if trained := trained_weights(out):
            return trained
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(out / "tensorboard"))
        # Rows of all lengths leave holes between blocks of a GPU's memory, unless blocks can grow.
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        with boundary(UsageError, 'training needs libraries, pip install "sera[train]"', ImportError):
            quiet()
            import torch
            from trl import SFTTrainer  # noqa: F401  (whether it can be imported at all)

            from sera.training.trl.watching import Pace, Watch, stopping
        refuse_missing(job.config)
        files = write_rows(job, out / TOKENS)
        state = last_state(out)
        step = step_of(state) if state else 0
        tokenizer = tokenizer_for(job)
        model = load_model(job)
        if job.config.packing:
            refuse_leaks(model)
        steps = steps_of(state) if state else plan.steps
        pace = Pace(job.config, plan) if job.config.trl.max_hours else None
        watch = Watch(Metrics(out, step), progress, pace)
        adapter = peft_config(job.config, job.student.name, model)
        trainer = make_trainer(
            job.config, model, adapter, tokenizer, steps, files, out / STATE, callbacks=[watch]
        )
        refuse_other_rows(trainer, job)
        progress.begin(plan, step)
        if steps < plan.steps:
            progress.shortened(steps)
        failing = boundary(TrainError, "training failed", RuntimeError, OSError)
        full = boundary(TrainError, f"the GPU's memory is full; {_SMALLER}", torch.OutOfMemoryError)
        with failing, full, stopping(watch), attention(job.config), only_trained_positions(job.config):
            trainer.train(resume_from_checkpoint=str(state) if state else None)
        watch.refuse_unfinished(trainer.state.max_steps)
        if files.held_out and watch.measured_at != trainer.state.global_step:
            trainer.evaluate()
        with boundary(TrainError, f"the weights cannot be saved in {done}", OSError, RuntimeError, Exception):
            shutil.rmtree(done, ignore_errors=True)
            trainer.save_model(str(done))
            mark_whole(done)
        for old in (out / STATE).glob("checkpoint-*"):
            shutil.rmtree(old, ignore_errors=True)
        del trainer, model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return done

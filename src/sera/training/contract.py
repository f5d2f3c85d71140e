"""What a trainer promises, and the records that pass between it and the stage.

A trainer is one file that says how much memory its way of training takes, and that turns rows into weights:

- `bytes_of` tells the bytes a parameter costs on one device, by what they are for.
- `train` leaves a folder with trained weights, or an adapter, in the Hugging Face form, and says where. It
  goes on from what an interrupted call has left in `out`. It raises `Halted` when it was asked to stop, and
  `TrainError` with a reason when training went wrong. What it is given has passed the pre-flight check.

Names of weights, tokenizer, template and card are nobody's but `finish.py`'s.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from sera.datasets.exchange.contract import BuiltDataset
from sera.datasets.proof import StudentNames
from sera.datasets.rendering import Student
from sera.harness.profile import Profile
from sera.records import Record
from sera.training.config import TrainConfig
from sera.training.student import StudentModel


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training: everything that was asked for, looked up and proven."""

    dataset: BuiltDataset
    student: StudentModel
    reading: Student
    """The student as it reads: tokenizer, template, padding."""
    names: StudentNames
    profile: Profile
    """The harness that the dataset was made with, and the student is to be served with."""
    config: TrainConfig


class Memory(Record, frozen=True, kw_only=True):
    """What one device has to hold at the worst moment. GB are 1e9 bytes."""

    device: str
    has_gb: float
    parts: dict[str, float]
    """What for → GB."""

    @property
    def needs_gb(self) -> float:
        """All of it."""
        return sum(self.parts.values())


class Plan(Record, frozen=True, kw_only=True):
    """What a training will be, before it is begun."""

    trainer: str
    student: str
    rows: int
    held_out: int
    """Rows that are kept to measure the loss on."""
    tokens: int
    """Of one epoch."""
    longest: int
    steps: int
    parameters: int
    trained_parameters: int
    memory: Memory
    disk_gb: float
    finishing_gb: float = 0.0
    """Of the machine's own memory, while the checkpoint is finished."""
    hours: float
    """The likeliest, as dollars and tokens_per_second."""
    hours_low: float | None = None
    """With `hours_high`: bounds, which are assumed. None in plans of older versions."""
    hours_high: float | None = None
    waiting: float = 1.0
    """How many times the rows' own arithmetic it lasts, as devices wait for the longest row."""
    dollars: float
    tokens_per_second: float
    assumptions: tuple[str, ...]
    """What the figures rest on, as sentences."""


class Bytes(Record, frozen=True, kw_only=True):
    """What one parameter costs on one device, and how activations are held."""

    weight: float
    """Of each parameter of the model."""
    gradient: float
    """Of each trained parameter, as `optimizer`."""
    optimizer: float
    state: float
    """Of each trained parameter, in a state on the disk: weights, and what the optimizer holds."""
    activation: float
    """Of each number that a layer keeps for the backward pass."""
    stream: float
    """Of each number that goes from layer to layer: what embeddings are held in, whatever is computed in."""
    copy: float = 0.0
    """Of each parameter, while a forward pass computes with it in fewer bits than it is held in."""
    tile: tuple[int, int]
    """Positions, and entries of the vocabulary, whose logits are there at once."""
    logit: float
    """Of each of these, with all that is made of it."""
    layers_gathered: int = 0
    """Layers whose weights are brought together on one device, where they are spread over several."""


class Step(Record, frozen=True, kw_only=True):
    """What is known after a step; a line of `metrics.jsonl`."""

    step: int
    epoch: float
    loss: float | None = None
    """Mean over the trained tokens of the step."""
    held_out_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = None
    """Of the step."""
    seconds: float | None = None
    """Of the step."""


class Progress(Protocol):
    """Told how a training goes."""

    def begin(self, plan: Plan, done: int) -> None:
        """It begins, or goes on after `done` steps."""

    def step(self, step: Step) -> None:
        """A step or a measurement is done."""

    def shortened(self, steps: int) -> None:
        """There is time for so many steps in all."""


class Trainer(Protocol):
    """See the module."""

    name: str
    most_devices: int
    """That it can train on at once."""

    def bytes_of(self, config: TrainConfig) -> Bytes:
        """What a parameter costs."""

    def train(self, job: Job, plan: Plan, out: Path, progress: Progress) -> Path:
        """Train; the folder with the weights."""

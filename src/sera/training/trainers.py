"""The trainers, chosen here and nowhere else."""

from collections.abc import Mapping

from sera.errors import UsageError
from sera.training.axolotl.trainer import AxolotlTrainer
from sera.training.contract import Trainer
from sera.training.trl.trainer import TrlTrainer

TRAINERS: Mapping[str, Trainer] = {trainer.name: trainer for trainer in (TrlTrainer(), AxolotlTrainer())}


def find_trainer(name: str) -> Trainer:
    """The trainer of that name; `UsageError` lists them."""
    if name not in TRAINERS:
        raise UsageError(f"there is no trainer {name!r}: choose {', '.join(TRAINERS)}")
    return TRAINERS[name]

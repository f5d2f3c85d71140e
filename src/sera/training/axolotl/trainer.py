"""Training by Axolotl: placeholder until the configuration module is in place."""

from pathlib import Path

from sera.training.contract import Bytes, Job, Plan, Progress


class AxolotlTrainer:
    name = "axolotl"

    def bytes_of(self, job: Job) -> Bytes:
        return Bytes(weight=2, gradient=2, optimizer=12, activation=2)

    def train(self, job: Job, plan: Plan, out: Path, progress: Progress) -> Path:
        raise NotImplementedError

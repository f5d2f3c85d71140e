"""Trainers behind one contract: a dataset and a student in, a checkpoint that can be served out.

`train_student` is the way in; `docs/training.md` says what is promised.
"""

from sera.training.config import TrainConfig
from sera.training.contract import Job, Plan, Progress, Trainer
from sera.training.stage import Request, plan_training, train_student

__all__ = ["Job", "Plan", "Progress", "Request", "TrainConfig", "Trainer", "plan_training", "train_student"]

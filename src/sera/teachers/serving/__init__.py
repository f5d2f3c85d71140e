"""Serving a teacher yourself: the command that launches it, and whether it fits.

See `docs/teachers.md`."""

from sera.teachers.serving.facts import Gpu, Model, gpus, models
from sera.teachers.serving.launch import Launch, Wanted, plan_launch
from sera.teachers.serving.memory import Fit, Layout

__all__ = ["Fit", "Gpu", "Launch", "Layout", "Model", "Wanted", "gpus", "models", "plan_launch"]

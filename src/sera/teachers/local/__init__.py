"""A teacher whose weights are on this machine. See `docs/local-models.md`."""

from sera.teachers.local.config import LocalConfig
from sera.teachers.local.teacher import LocalTeacher

__all__ = ["LocalConfig", "LocalTeacher"]

"""The rehearsal teacher: plays a whole generation run on a real repository, offline and repeatably.

For trying, sizing and testing. Its trajectories carry no intelligence: never train on them.
See `docs/rehearsal.md`.
"""

from sera.teachers.rehearsal.config import RehearsalConfig
from sera.teachers.rehearsal.teacher import RehearsalTeacher

__all__ = ["RehearsalConfig", "RehearsalTeacher"]

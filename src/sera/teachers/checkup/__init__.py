"""A check of an endpoint: whether it can be a teacher, and the cure for what is wrong. In short before a run.

See `docs/teachers.md`.
"""

from sera.teachers.checkup.brief import check_briefly
from sera.teachers.checkup.findings import Checkup, Finding, Speed
from sera.teachers.checkup.run import Examined, check_endpoint

__all__ = ["Checkup", "Examined", "Finding", "Speed", "check_briefly", "check_endpoint"]

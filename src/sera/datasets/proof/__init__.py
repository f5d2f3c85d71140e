"""Proofs that a dataset trains what will be served. `check_dataset` is the way in, `PROOFS` the list."""

from sera.datasets.proof.check import Report, check_dataset
from sera.datasets.proof.fault import Fault, Kind, Shown
from sera.datasets.rendering.student import StudentNames

__all__ = ["Fault", "Kind", "Report", "Shown", "StudentNames", "check_dataset"]

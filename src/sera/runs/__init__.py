"""Runs: the directory that holds all that a run has done, and what it still owes. See `run`."""

from sera.runs.folder import Manifest, is_running
from sera.runs.ledger import LEDGER, Ledger, SpendingLimits, open_ledger, read_ledger
from sera.runs.run import Run, change_run, open_run, read_run
from sera.runs.trail import Trail

__all__ = [
    "LEDGER",
    "Ledger",
    "Manifest",
    "Run",
    "SpendingLimits",
    "Trail",
    "change_run",
    "is_running",
    "open_ledger",
    "open_run",
    "read_ledger",
    "read_run",
]

"""Runs: the directory that holds all that a run has done, and what it still owes. See `run`."""

from sera.runs.run import Manifest, Run, change_run, is_running, open_run, read_run
from sera.runs.trail import Trail

__all__ = ["Manifest", "Run", "Trail", "change_run", "is_running", "open_run", "read_run"]

"""Environments: what a repository needs to be run, made once, and tried out. See `prepare`."""

from sera.environments.config import PrepareConfig
from sera.environments.prepare import prepare, try_again
from sera.environments.records import Environment
from sera.environments.store import find, load

__all__ = ["Environment", "PrepareConfig", "find", "load", "prepare", "try_again"]

"""Safety of training data: what is taken out, canaries, licences. See `docs/data-safety.md`."""

from sera.datasets.safety.cleaning import Cleaned, Cleaner, Spotted
from sera.datasets.safety.config import Action, SafetyConfig
from sera.datasets.safety.finder import make_finder
from sera.datasets.safety.rules import Group

__all__ = ["Action", "Cleaned", "Cleaner", "Group", "SafetyConfig", "Spotted", "make_finder"]

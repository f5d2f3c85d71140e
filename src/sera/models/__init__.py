"""Models: weights on this machine, by name or path, and where they can be had."""

from sera.models.fetch import fetch_weights
from sera.models.weights import Weights, find_weights, known_weights

__all__ = ["Weights", "fetch_weights", "find_weights", "known_weights"]

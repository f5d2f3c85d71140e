"""The agent's knobs."""

from sera.settings import Config, Count, Seconds


class AgentConfig(Config, frozen=True):
    """Bounds of one rollout."""

    step_limit: Count = 115
    """Model calls a rollout may make. 115 is the paper's figure; a trajectory needs about 35."""
    wall_clock: Seconds = 3600.0
    """Seconds a rollout may take in all, the teacher's answers included. An hour is ten times the usual."""
    tool_timeout: Seconds = 300.0
    """Seconds one command may run before it is stopped."""
    malformed_limit: Count = 5
    """Replies in a row without a usable tool call that end the rollout."""
    clip: Count = 16_000
    """Characters of one observation; the middle of a longer one is left out."""

"""The agent: a loop, three tools, and the observations they give. See `loop`."""

from sera.agent.config import AgentConfig
from sera.agent.loop import Agent, Outcome, run_rollout

__all__ = ["Agent", "AgentConfig", "Outcome", "run_rollout"]

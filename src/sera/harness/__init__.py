"""The harness: every word the agent and its teacher are told, as versioned data. See `profile`."""

from sera.harness.profile import Profile, load_profile

__all__ = ["Profile", "load_profile"]

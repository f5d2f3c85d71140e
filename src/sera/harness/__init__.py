"""The harness: every word the agent and its teacher are told, as versioned data. See `profile`."""

from sera.harness.profile import AUTO, DEFAULT_PROFILE, NEUTRAL_PROFILE, Profile, load_profile, profile_for

__all__ = ["AUTO", "DEFAULT_PROFILE", "NEUTRAL_PROFILE", "Profile", "load_profile", "profile_for"]

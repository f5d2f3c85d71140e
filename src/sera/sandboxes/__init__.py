"""Sandboxes: where a rollout runs what it likes and harms nothing. See `contract`."""

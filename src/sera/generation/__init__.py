"""Generation: Soft Verified Generation, from a task to a pair of rollouts. See `svg`."""

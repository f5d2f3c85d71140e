"""Evaluation: tasks of the own repository, rollouts on them, and what the outcomes say."""

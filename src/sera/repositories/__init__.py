"""Repositories: from whatever the user names to a snapshot, its functions and a plan of tasks."""

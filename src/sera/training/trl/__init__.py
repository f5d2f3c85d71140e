"""Training in this process, by TRL's trainer on rows that are ours."""

"""Training in this process (or under `accelerate launch`), by TRL's trainer on rows that are ours."""

"""Looking at a dataset: a sample with what is trained marked, and the figures of the whole."""

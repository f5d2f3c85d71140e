"""The whole way as one command: prepare, tasks, generate, dataset, train, evaluate, report. See `docs/specialize.md`."""

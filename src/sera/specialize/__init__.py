"""The whole way as one command, from a repository to a trained student: see `docs/specialize.md`."""

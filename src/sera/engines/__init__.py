"""Engines: where the tasks of a run are worked on. `local` is this process, `queue` what it does next."""

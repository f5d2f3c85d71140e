"""Programs that run in a sandbox, with the repository's own Python: standard library only, from Python 3.7
on."""

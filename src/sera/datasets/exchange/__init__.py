"""Datasets out, in the forms that trainers and hubs read; trajectories in, in the forms that others write.

`export.py` and `imports.py` hold the two tables of formats; each format is one file. `imported.py` is what
an import leaves on disk, and `predictions.py` reads which patch was handed in for what. The promises are in
`docs/exchange.md`.
"""

"""Sandboxes that are containers of Docker or Podman, through the engine's own command line.

config.py    the settings, and the names of published images
engine.py    one engine: its images and containers, and what its errors mean
toolbox.py   our own process 1, made to run in any image
backend.py   the backend: one container for each sandbox, one lasting channel to each
images.py    an image out of a prepared environment; a layer out of an image
"""

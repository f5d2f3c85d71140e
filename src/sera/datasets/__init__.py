"""Training sets from finished runs: select, cut, format, write. See `build` for the whole of it."""

from sera.datasets.build import build_dataset
from sera.datasets.config import DatasetConfig
from sera.datasets.manifest import Manifest
from sera.datasets.sample import Sample, Source

__all__ = ["DatasetConfig", "Manifest", "Sample", "Source", "build_dataset"]

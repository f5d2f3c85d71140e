"""The rows as they are, one JSON object a line: what `datasets` and every script can read."""

from collections import Counter
from pathlib import Path

from sera.datasets.exchange.contract import BuiltDataset, Options
from sera.datasets.lines import json_line
from sera.datasets.manifest import ROWS


def write_jsonl(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    with (folder / ROWS).open("wb") as file:
        for row in dataset.rows():
            file.write(json_line(row))
    return Counter()

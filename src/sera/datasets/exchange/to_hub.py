"""A folder as the Hugging Face Hub has datasets: Parquet shards in `data/`, a card, the notices.

The card is the dataset's own, with the front matter of the Hub put in the place of its own. Where the
caller named the repositories whose code the rows quote, their licences are listed in it, and the texts
lie in `LICENSES/`. All that the dataset has beside its rows goes along: manifest, rejections, figures.
Which licence the set itself has is its owner's to say: the card asks for it.
"""

import re
from collections import Counter
from pathlib import Path
from shutil import copyfile

from sera.datasets.card import loading
from sera.datasets.exchange.contract import BuiltDataset, Options
from sera.datasets.exchange.licences import Licence
from sera.datasets.exchange.to_parquet import GROUP_BYTES, ParquetFile, groups
from sera.datasets.lines import json_line
from sera.datasets.manifest import CARD, MANIFEST, ROWS
from sera.errors import DatasetError, UsageError, boundary
from sera.untrusted import below
from sera.visible import markdown, markdown_code

_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HEAD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
task_categories:
- text-generation
size_categories:
- {size}
tags:
- code
- agent
- sera
---
"""
_NOTICE = """
## Licences of the quoted repositories

The rows quote code of these repositories. Their notices are in `LICENSES/`; keep them with the data.

| repository | licence | notices |
| --- | --- | --- |
{lines}
"""


def write_hub(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:
    _write_shards(dataset, folder / "data", options.shard_bytes)
    names = [_folder_name(licence) for licence in options.licences]
    if len(set(names)) < len(names):
        raise UsageError(f"two of the repositories are named alike: {', '.join(names)}. Rename a checkout")
    for licence in options.licences:
        _write_notices(licence, folder)
    (folder / CARD).write_text(_card(dataset, options.licences), "utf-8")
    _copy_the_rest(dataset, folder)
    return Counter()


def _copy_the_rest(dataset: BuiltDataset, folder: Path) -> None:
    """What lies in the dataset and its manifest names, but for rows and card. A manifest may be anybody's:
    it is not asked for paths to open."""
    wanted = {MANIFEST, *dataset.manifest.files} - {CARD, ROWS}
    with boundary(DatasetError, f"a file of {dataset.path} cannot be copied"):
        for path in sorted(below(dataset.path)):
            place = path.relative_to(dataset.path)
            if place.as_posix() in wanted and path.is_file() and not path.is_symlink():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, folder / place)


def _write_shards(dataset: BuiltDataset, folder: Path, size: int) -> None:
    """Shards of about `size` bytes of JSON, named with their number once that is known."""
    folder.mkdir()
    shards: list[Path] = []
    pending = groups(dataset.rows(), min(GROUP_BYTES, size))
    group = next(pending, None)
    while group:
        shards.append(folder / f"{len(shards):05d}.parquet")
        with ParquetFile(shards[-1]) as file:
            held = 0
            while group and held < size:
                file.append(group)
                held += sum(len(json_line(row)) for row in group)
                group = next(pending, None)
    for number, shard in enumerate(shards):
        shard.rename(folder / f"train-{number:05d}-of-{len(shards):05d}.parquet")


def _write_notices(licence: Licence, folder: Path) -> None:
    for notice in licence.notices:
        place = folder / "LICENSES" / _folder_name(licence)
        place.mkdir(parents=True, exist_ok=True)
        (place / notice.name).write_text(notice.text, "utf-8")


def _folder_name(licence: Licence) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", licence.repository).strip(".-") or "repository"


def _card(dataset: BuiltDataset, licences: tuple[Licence, ...]) -> str:
    head = _HEAD.format(size=next((name for most, name in _SIZES if dataset.manifest.rows < most), "n>1M"))
    lines = "\n".join(_line(licence) for licence in licences)
    body = _FRONT.sub("", dataset.card).replace(
        loading("json", ROWS), loading("parquet", "data/train-*.parquet")
    )
    return head + body + (_NOTICE.format(lines=lines) if licences else "")


def _line(licence: Licence) -> str:
    names = ", ".join(
        markdown_code(f"LICENSES/{_folder_name(licence)}/{notice.name}") for notice in licence.notices
    )
    return f"| {markdown(licence.repository)} | {markdown(licence.id)} | {names or 'none found'} |"

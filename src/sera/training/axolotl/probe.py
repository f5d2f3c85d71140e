"""Runs in Axolotl's environment, by its Python, without sera: what it makes of a configuration.

python probe.py check  CONFIG        unknown keys as JSON, on the last line
python probe.py fork                 whether Axolotl's fork of Cut Cross Entropy is here
python probe.py tokens PREPARED      ids and labels of prepared rows as JSON lines, after a line of dashes
"""

import importlib
import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

MARK = "-" * 8


def known_keys(model: Any) -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        names |= {name, field.alias or name}
    return names


def check(path: str) -> None:
    import yaml
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.datasets import SFTDataset

    config = yaml.safe_load(Path(path).read_text("utf-8"))
    known = known_keys(AxolotlInputConfig)
    for plugin in config.get("plugins", ()):
        package = plugin.rsplit(".", 1)[0]
        arguments = importlib.import_module(f"{package}.args")
        for value in vars(arguments).values():
            if isinstance(value, type) and hasattr(value, "model_fields"):
                known |= known_keys(value)
    unknown = [key for key in config if key not in known]
    rows = known_keys(SFTDataset)
    for table in ("datasets", "test_datasets"):
        for item in config.get(table, ()):
            unknown += [f"{table}.{key}" for key in item if key not in rows]
    problem = ""
    try:
        AxolotlInputConfig(**config)
    except Exception as refused:  # noqa: BLE001  (told to the other side)
        problem = str(refused)
    told = {"version": version("axolotl"), "keys": len(config), "unknown": unknown, "problem": problem}
    print(MARK)
    print(json.dumps(told))


def fork() -> None:
    """Its mark is looked for in its file: importing it might ask for a GPU."""
    spec = importlib.util.find_spec("cut_cross_entropy")
    places = spec.submodule_search_locations if spec else None
    files = [Path(place) / "transformers" / "patch.py" for place in places or ()]
    print(MARK)
    print(json.dumps(any(file.is_file() and "AXOLOTL_CCE_FORK" in file.read_text("utf-8") for file in files)))


def tokens(folder: str) -> None:
    from datasets import load_from_disk

    print(MARK)
    for prepared in sorted(Path(folder).iterdir()):
        if prepared.is_dir():
            for row in load_from_disk(str(prepared)):
                print(json.dumps([row["input_ids"], row["labels"]]))


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        fork()
    else:
        {"check": check, "tokens": tokens}[sys.argv[1]](sys.argv[2])

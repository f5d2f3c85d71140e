"""Imports each module named and writes where it came from, as JSON: {module: [file, error]}.

usage: imports.py ANSWER MODULE…
"""

import importlib
import json
import sys
from pathlib import Path

answer, *names = sys.argv[1:]
sys.argv[1:] = []
sys.path.pop(0)
found = {}
for name in names:
    try:
        module = importlib.import_module(name)
        places = list(getattr(module, "__path__", None) or [""])
        found[name] = [getattr(module, "__file__", None) or places[0], ""]
    except BaseException as error:  # noqa: BLE001  (what is imported may also exit)
        found[name] = ["", f"{type(error).__name__}: {error}"]
Path(answer).write_text(json.dumps(found, ensure_ascii=False), "utf-8", "replace")

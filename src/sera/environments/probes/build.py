"""Calls one hook of a build backend (PEP 517) in the present directory, and writes the result as JSON.

usage: build.py ANSWER HOOK BACKEND [BACKEND_PATH…]
HOOK is `requires` or `wheel`; the wheel lies beside ANSWER afterwards. An empty BACKEND is the old
`setup.py`.
"""

import importlib
import json
import sys
from pathlib import Path

LEGACY = "setuptools.build_meta:__legacy__"


def main() -> None:
    answer, hook, name, *paths = sys.argv[1:]
    sys.path[:1] = [str(Path(path).resolve()) for path in paths]
    sys.argv[1:] = []
    module, _, attributes = (name or LEGACY).partition(":")
    backend = importlib.import_module(module)
    for attribute in attributes.split(".") if attributes else []:
        backend = getattr(backend, attribute)
    if hook == "wheel":
        result = backend.build_wheel(str(Path(answer).parent))
    else:
        ask = getattr(backend, "get_requires_for_build_wheel", None)
        result = list(ask()) if ask else []
    Path(answer).write_text(json.dumps(result))


main()

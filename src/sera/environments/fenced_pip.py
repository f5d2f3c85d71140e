"""pip, kept from running what it fetches, and from following addresses that packages name.

usage: fenced_pip.py FENCE ARGUMENT…
FENCE is JSON: `addresses` that may be followed, and whether to `build` what has no wheel.

`--only-binary` keeps pip from building packages of an index, not what lies at an address, whose `setup.py`
it would run. Here it can start no program at all. Run on the host by the interpreter of a new environment:
standard library only, from Python 3.8 on.
"""

import json
import runpy
import sys
from typing import Any

from pip._vendor.packaging import requirements

_STARTS = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
)
FENCE = json.loads(sys.argv.pop(1))
parse = requirements.Requirement.__init__


def refuse(event: str, _: Any) -> None:
    """An audit hook, which cannot be taken away again."""
    if event in _STARTS:
        raise PermissionError(
            "a package without a wheel cannot be had: no program is run to build or fetch it"
        )


def follow(self: Any, text: str) -> None:
    parse(self, text)
    if self.url and self.url not in FENCE["addresses"]:
        raise requirements.InvalidRequirement(f"it names an address: {text}")


requirements.Requirement.__init__ = follow  # type: ignore[assignment,method-assign]
if not FENCE["build"]:
    sys.addaudithook(refuse)
runpy.run_module("pip", run_name="__main__", alter_sys=True)

"""What an environment of mini-swe-agent costs: one JSON object of medians in milliseconds.

    PEER/bin/python benchmarks/peer_environments.py local|docker --rounds N [--image IMAGE]

Run by `benchmarks/backends.py`. Its Docker environment leaves the removal of a container to the background,
so `destroy` is the time of the call alone.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")

from minisweagent.environments.docker import DockerEnvironment
from minisweagent.environments.local import LocalEnvironment

COMMANDS = {"trivial command": "true", "100 KB of output": "head -c 100000 /dev/zero | tr '\\0' x"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["local", "docker"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--image", default="")
    options = parser.parse_args()
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = work()
        times.setdefault(name, []).append((time.perf_counter() - start) * 1000)
        return result

    for _ in range(options.rounds):
        if options.kind == "docker":
            arguments = {"image": options.image, "run_args": ["--rm", "--network=none"]}
            box = timed("create", lambda given=arguments: DockerEnvironment(**given))
        else:
            box = timed("create", LocalEnvironment)
        timed("first command", lambda box=box: box.execute({"command": "true"}))
        for name, command in COMMANDS.items():
            for _ in range(5):
                timed(name, lambda box=box, command=command: box.execute({"command": command}))
        if options.kind == "docker":
            timed("destroy", box.cleanup)
            box.container_id = None
    print(json.dumps({name: statistics.median(values) for name, values in times.items()}))


if __name__ == "__main__":
    main()

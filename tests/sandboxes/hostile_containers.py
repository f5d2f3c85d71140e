"""The hostile suite for containers: what an engine decides, and sandboxes in it cannot promise."""

from typing import ClassVar

from hostile import Hostile


class HostileContainers(Hostile):
    """Base of the suites of engines; each gives `make`."""

    not_promised: ClassVar[dict[str, str]] = {
        "what the kernel tells": "the engine shows /proc/key-users",
        "control groups": "the engine shows the container's own group, read-only",
        "standing of process 1": "a command may come to stand level with process 1, never before it",
        "watches": "inotify instances are counted by user of the machine",
    }
    shown = frozenset({"sys", "/proc/key-users"})
    limits_watches = False

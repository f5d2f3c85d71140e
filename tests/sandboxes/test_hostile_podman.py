"""The Podman backend against commands that mean harm. Slow, a container for each: `make soak`."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from engines import IMAGE, EngineAtHand, in_use, podman_engine
from hostile import make_closed
from hostile_containers import HostileContainers
from stage import Make

from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import PodmanConfig
from sera.sandboxes.contract import Layer, Limits

pytestmark = pytest.mark.soak

_FILES = "Podman before 5 cannot limit the number of files; their memory is limited"


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(podman_engine()) as engine:
        yield engine


@pytest.mark.usefixtures("engine")
class TestHostilePodman(HostileContainers):
    not_promised: ClassVar = {
        **HostileContainers.not_promised,
        "number of files": _FILES,
        "directories": _FILES,
    }

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand, tmp_path_factory: pytest.TempPathFactory) -> Make:
        closed = make_closed(tmp_path_factory.mktemp("closed"))
        cls.closed = str(closed)

        def make(layer: Layer, limits: Limits) -> Containers:
            config = PodmanConfig(image=IMAGE, limits=limits, program=engine.program, mounts=(closed,))
            return Containers(layer, config)

        return make

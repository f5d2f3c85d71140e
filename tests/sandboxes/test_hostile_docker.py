"""The Docker backend against commands that mean harm. Slow, a container for each: `make soak`."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from engines import IMAGE, EngineAtHand, docker_engine, in_use
from hostile import make_closed
from hostile_containers import HostileContainers
from stage import Make

from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.contract import Layer, Limits

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(docker_engine()) as engine:
        yield engine


@pytest.mark.usefixtures("engine")
class TestHostileDocker(HostileContainers):
    expected: ClassVar = {
        "nothing but the loopback": r"\Alo\n0\nnone\n(search \.\n)?nameserver 127\.0\.0\.1\n\Z"
    }

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand, tmp_path_factory: pytest.TempPathFactory) -> Make:
        closed = make_closed(tmp_path_factory.mktemp("closed"))
        cls.closed = str(closed)

        def make(layer: Layer, limits: Limits) -> Containers:
            config = DockerConfig(image=IMAGE, limits=limits, program=engine.program, mounts=(closed,))
            return Containers(layer, config)

        return make

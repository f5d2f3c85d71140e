"""The Docker backend against commands that mean harm. Slow, a container for each: `make soak`."""

from collections.abc import Iterator

import pytest
from engines import IMAGE, EngineAtHand, docker_engine, in_use
from hostile import Hostile
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
class TestHostileDocker(Hostile):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand) -> Make:
        def make(layer: Layer, limits: Limits) -> Containers:
            return Containers(layer, DockerConfig(image=IMAGE, limits=limits, program=engine.program))

        return make

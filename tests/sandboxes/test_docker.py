"""The Docker backend: the conformance suite in containers of an engine that this module starts."""

from collections.abc import Iterator

import pytest
from conformance import Conformance, Make
from engines import IMAGE, EngineAtHand, docker_engine

from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.contract import Layer, Limits


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with docker_engine() as engine, pytest.MonkeyPatch.context() as patch:
        for name, value in engine.environment.items():
            patch.setenv(name, value)
        yield engine


@pytest.mark.usefixtures("engine")
class TestDocker(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand) -> Make:
        def make(layer: Layer, limits: Limits) -> Containers:
            return Containers(layer, DockerConfig(image=IMAGE, limits=limits, program=engine.program))

        return make

"""An image that holds a prepared environment, for engines that cannot mount it from this machine."""

from pathlib import Path

from sera.environments.records import Environment
from sera.errors import PrepareError, SandboxError
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.containers.engine import Engine
from sera.sandboxes.containers.images import build_image
from sera.sandboxes.containers.options import COVERED


def image_of(environment: Environment, engine: Engine, name: str, base: str) -> None:
    """Build the image `name` from `base`, with the environment and its interpreter at their paths here.

    The repository is not in it: sandboxes copy their tree. Raises `PrepareError` if the interpreter does not
    run there, as one of this machine's system does not in another, or where it could not be seen.
    """
    use = environment.sandbox(DockerConfig())
    assert isinstance(use, DockerConfig)
    folders = [Path(path) for path in use.mounted]
    for folder in folders:
        if any(folder.is_relative_to(place) for place in COVERED):
            raise PrepareError(
                f"{folder} would not be seen in a container, which has file systems of its own at "
                f"{', '.join(COVERED)}: prepare with a cache elsewhere (SERA_CACHE)"
            )
    build_image(engine, name, base, folders, use.search, environment.variables, use.hidden)
    python = str(environment.prefix / "bin" / "python")
    try:
        engine.call_now("run", "--rm", "--network=none", "--entrypoint", python, name, "-c", "")
    except SandboxError as error:
        raise PrepareError(
            f"the image {name} is built, and {python} does not run in it: {error}. Take another --base, or "
            "prepare with an interpreter that is not the system's own (--python PATH)"
        ) from error

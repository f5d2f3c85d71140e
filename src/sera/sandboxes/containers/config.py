"""Settings of sandboxes in containers, and the names of images that others publish."""

import platform
from pathlib import Path
from typing import Literal

import msgspec

from sera.errors import ConfigError
from sera.sandboxes.contract import Limits
from sera.sandboxes.machine import outside_system, prefixes_of
from sera.sandboxes.products import check_patterns
from sera.settings import Config

Pull = Literal["missing", "always", "never"]
Transfer = Literal["auto", "mount", "copy"]
_TESTBED = "/opt/miniconda3/envs/testbed/bin"
"""Where SWE-bench and SWE-smith images keep the interpreter that the project is installed for."""


class ContainersConfig(Config, frozen=True):
    """What Docker and Podman share. Either `image` or `instance` is needed."""

    image: str = ""
    """The image that commands run in, e.g. `python:3.11`. It needs bash, and what commands need."""
    instance: str = ""
    """Identifier of a SWE-bench (`django__django-11099`) or SWE-smith (`pandas-dev__pandas.95280573.x`)
    instance, instead of `image`: its published image, whose own working tree is used."""
    tree: Literal["layer", "image"] | None = None
    """Where the working tree comes from: `layer`, the repository given, copied into a read-only container;
    `image`, what the image has at `workdir`, which must be the same. None: `image` for an instance, else
    `layer`."""
    pull: Pull = "missing"
    """When to pull the image: if it is not there, before every run, or never."""
    platform: str = ""
    """Platform of the image, e.g. `linux/amd64`. Empty: the engine's own."""
    network: str = "none"
    """Network of the containers, as the engine names it. `none`: only the loopback device."""
    user: int | None = None
    """User and group number of commands. None: 1000, or with the image's own tree 0, its owner. Either has
    no capabilities."""
    require: str = ""
    """Protections to refuse to work without, by their names in `sera doctor`, with commas between them, e.g.
    `cgroups,seccomp`. They are tried before anything else is done."""
    limits: Limits = Limits()
    workdir: str = "/testbed"
    """Where the working tree is seen inside."""
    python: Path | None = None
    """Prefix of the interpreter commands use, a directory of this machine. None: the image's own."""
    mounts: tuple[Path, ...] = ()
    """Further directories of this machine, seen read-only at their own path."""
    hidden: tuple[Path, ...] = ()
    """Directories below those that are seen empty."""
    path: tuple[str, ...] = ()
    """Directories of the image to look for programs in before its own `PATH`."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Further variables for commands, beside the image's own."""
    transfer: Transfer = "auto"
    """How the layer and our own process get into a container: `mount`, for an engine that sees this
    machine's files; `copy`, into each container. auto: mount if the engine is reached by a path."""
    options: tuple[str, ...] = ()
    """Further options of the engine's `run`, e.g. `--gpus=all`. They can undo what keeps commands inside."""
    products: tuple[str, ...] = ()
    """Further products of tools to leave out of patches, beside those of `products.toml`: names as in
    `.gitignore` without `**`, e.g. `*.log`, `reports/`, `/out.txt`. With a leading `!`: what is to stay, e.g.
    `!coverage.xml`; `["!*"]` keeps all. What is tracked, or was written by the editor, always stays."""

    def __post_init__(self) -> None:
        check_patterns(self.products)

    @property
    def image_name(self) -> str:
        """The image to use."""
        if bool(self.image) == bool(self.instance):
            raise ConfigError("a container needs an image: set either sandbox.image or sandbox.instance")
        return self.image or instance_image(self.instance)

    @property
    def owns_tree(self) -> bool:
        """Whether the image holds the working tree."""
        return self.tree == "image" or (self.tree is None and bool(self.instance))

    @property
    def command_user(self) -> int:
        """User and group number of commands."""
        return self.user if self.user is not None else (0 if self.owns_tree else 1000)

    @property
    def mounted(self) -> list[str]:
        """Every directory of this machine that commands see, at its own path."""
        return outside_system([*(prefixes_of(self.python) if self.python else ()), *self.mounts])

    @property
    def search(self) -> tuple[str, ...]:
        """Directories before the image's own `PATH`."""
        own = (str(self.python / "bin"),) if self.python else ()
        return (*own, *self.path, *((_TESTBED,) if self.instance else ()))


class DockerConfig(ContainersConfig, frozen=True, tag_field="backend", tag="docker"):
    """Sandboxes are containers of a Docker engine."""

    program: str = "docker"
    """Its command line, which reaches the engine that `DOCKER_HOST` or the current context names."""


class PodmanConfig(ContainersConfig, frozen=True, tag_field="backend", tag="podman"):
    """Sandboxes are containers of Podman."""

    program: str = "podman"
    """Its command line."""


def instance_image(instance: str) -> str:
    """The published image of an instance, named as SWE-bench 4 and SWE-smith name theirs.

    SWE-bench has one image per instance and only `x86_64` ones are published; SWE-smith one per
    repository and commit, for either processor.
    """
    owner, separator, rest = instance.lower().partition("__")
    if not (separator and owner and rest):
        raise ConfigError(
            f"{instance} is no instance of SWE-bench or SWE-smith: they read owner__name-number"
        )
    name, *parts = rest.split(".")
    commit = next((part for part in parts if _is_commit(part)), "")
    if not commit:
        return f"swebench/sweb.eval.x86_64.{owner}_1776_{rest}:latest"
    name = rest[: rest.index(f".{commit}")]
    processor = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    return f"jyangballin/swesmith.{processor}.{owner}_1776_{name}.{commit}"


def _is_commit(part: str) -> bool:
    digits = 8
    return len(part) == digits and not part.strip("0123456789abcdef")

"""Sandboxes: where a rollout runs what it likes and harms nothing. `contract` says what one promises;
this is the one place where a backend is chosen."""

from sera.sandboxes.containers.config import DockerConfig, PodmanConfig
from sera.sandboxes.contract import Backend, CommandResult, Layer, Limits, Sandbox
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig

SandboxConfig = NamespacesConfig | DockerConfig | PodmanConfig
"""The settings of one backend or another, told apart by `backend`."""


def make_backend(config: SandboxConfig, layer: Layer) -> Backend:
    """The backend that the settings describe, over one working tree. Nothing starts until it is entered."""
    if isinstance(config, NamespacesConfig):
        return Namespaces(layer, config)
    from sera.sandboxes.containers.backend import Containers

    return Containers(layer, config)


__all__ = [
    "Backend",
    "CommandResult",
    "Layer",
    "Limits",
    "NamespacesConfig",
    "Sandbox",
    "SandboxConfig",
    "make_backend",
]

"""How a model is asked: with the harness, the format of calls and the context that it was trained with."""

import msgspec

from sera.errors import ConfigError, ModelError
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.tasks.record import Instance
from sera.harness import AUTO, Profile, load_profile, profile_for
from sera.models.checkpoints import Checkpoint, read_checkpoint
from sera.models.weights import known_weights
from sera.settings import convert, to_tree
from sera.teachers import LocalConfig, RehearsalConfig, TeacherConfig


def saved_with(config: EvaluateConfig) -> Checkpoint | None:
    """What is saved with the model, or with the checkpoint that `profile` names: a server does not tell.
    `ConfigError` if the two contradict each other."""
    model = config.teacher.model if isinstance(config.teacher, LocalConfig) else ""
    own = read_checkpoint(model) if model and model not in known_weights() else None
    named = read_checkpoint(config.profile) if config.profile != AUTO else None
    if own and config.profile != AUTO:
        given = words_of(config.profile)
        if given.hash != own.profile.hash:
            raise ConfigError(
                f"{model} was trained with the harness profile {own.profile.hash}, and "
                f"profile={config.profile} is {given.hash}: with words that it was not trained on it shows "
                "less than it can"
            )
    return own or named


def words_of(profile: str) -> Profile:
    """The harness profile that the setting `profile` names; not for `auto`."""
    named = read_checkpoint(profile)
    return named.profile if named else load_profile(profile)


def asked_as(config: EvaluateConfig, checkpoint: Checkpoint | None) -> EvaluateConfig:
    """The settings with the format of tool calls that a checkpoint was trained on; `raw` is that of its own
    template."""
    teacher = config.teacher
    if checkpoint is None or isinstance(teacher, RehearsalConfig):
        return config
    trained = "" if checkpoint.saved.format == "raw" else checkpoint.saved.format
    if teacher.format not in ("", trained):
        raise ConfigError(
            f"the checkpoint was trained on calls in the format {checkpoint.saved.format!r}, and "
            f"teacher.format is {teacher.format!r}: leave it out"
        )
    asked = convert(to_tree(teacher) | {"format": trained}, type(teacher), "sera.json")
    return msgspec.structs.replace(config, teacher=asked)


def profile_of(
    config: EvaluateConfig, checkpoint: Checkpoint | None, tasks: tuple[Instance, ...]
) -> tuple[Profile, tuple[str, ...]]:
    """The harness to ask the model with, and what is to be said about it."""
    if checkpoint:
        checkpoint.profile.prompt(
            "task", workdir="", request=""
        )  # an import's has no words: told before a start
        trained = checkpoint.saved.context
        told = f"the model was trained on {trained} tokens and may use {config.context} here"
        return checkpoint.profile, (told,) if 0 < trained < config.context else ()
    if config.require_profile:
        raise ModelError(
            "no harness profile is saved with this model, and one is required: give the checkpoint that "
            "`sera train` wrote as --set profile=CHECKPOINT, or go without --require-profile"
        )
    if config.profile != AUTO:
        return load_profile(config.profile), _assumed(config.teacher)
    python = sum(one.path.endswith(".py") for one in tasks)
    name = profile_for({"python": python, "other": len(tasks) - python})
    told = f"no harness profile is saved with the model: it is asked with {name}"
    return load_profile(name), (told, *_assumed(config.teacher))


def _assumed(teacher: TeacherConfig) -> tuple[str, ...]:
    """What is taken for granted of how calls are written, where neither checkpoint nor settings say it."""
    if isinstance(teacher, RehearsalConfig) or teacher.format or teacher.model in known_weights():
        return ()
    where = "its own template has" if isinstance(teacher, LocalConfig) else "its server has"
    return (
        f"nothing says in which format the model was trained to write calls: they are taken as {where} them. "
        "For a student, --set profile=CHECKPOINT or --set teacher.format=hermes says it",
    )


def teacher_config(config: EvaluateConfig) -> TeacherConfig:
    """The model's settings with what the evaluation decides."""
    if isinstance(config.teacher, LocalConfig):
        return msgspec.structs.replace(config.teacher, context=config.context, parallel=config.workers)
    return config.teacher

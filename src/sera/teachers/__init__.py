"""Teachers: whoever answers the agent's messages. `contract` says what one promises; this is the one
place where a kind is chosen."""

import msgspec

from sera.errors import ConfigError
from sera.redaction.addresses import secrets_in
from sera.settings import convert
from sera.teachers.contract import ChatRequest, Meter, Reply, Teacher
from sera.teachers.local import LocalConfig, LocalTeacher
from sera.teachers.metered import MeteredTeacher
from sera.teachers.prices import FREE, Price
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
from sera.teachers.remote import Endpoint, RemoteConfig, RemoteTeacher, Waits
from sera.teachers.remote.keys import read_key
from sera.teachers.written import WrittenTeacher

TeacherConfig = RehearsalConfig | RemoteConfig | LocalConfig


def make_teacher(config: TeacherConfig, meter: Meter | None = None, waits: Waits | None = None) -> Teacher:
    """The teacher that the settings describe; `meter` counts what it costs, `waits` shows and ends what it
    waits for. Nothing is connected until it is entered."""
    match config:
        case RehearsalConfig():
            return _counted(RehearsalTeacher(config), meter)
        case LocalConfig():
            return _counted(_written(LocalTeacher(config), config.format), meter)
        case RemoteConfig():
            return _written(RemoteTeacher(config, meter, waits=waits), config.format)


def _written(teacher: Teacher, style: str) -> Teacher:
    return WrittenTeacher(teacher, style) if style else teacher


def _counted(teacher: Teacher, meter: Meter | None) -> Teacher:
    return MeteredTeacher(teacher, meter) if meter else teacher


def price_of(config: TeacherConfig) -> Price | None:
    """What the teacher's tokens cost; None if neither the settings nor the shipped table say it."""
    match config:
        case RehearsalConfig() | LocalConfig():
            return FREE
        case RemoteConfig():
            return config.tariff


class _Recorded(msgspec.Struct, frozen=True):
    teacher: TeacherConfig


def recorded_price(config: object) -> Price | None:
    """The price by the settings that a run has recorded; None if they do not say it."""
    try:
        return price_of(convert(config, _Recorded, "the settings that were recorded").teacher)
    except ConfigError:
        return None


def keys_of(config: TeacherConfig) -> tuple[str, ...]:
    """The keys the teacher is reached with, and what else is secret in its addresses: secret, whatever their
    variables are called."""
    match config:
        case RehearsalConfig() | LocalConfig():
            return ()
        case RemoteConfig():
            keys = (read_key(endpoint).header() for endpoint in config.addresses)
            return (*keys, *(one for endpoint in config.addresses for one in secrets_in(endpoint.base_url)))


__all__ = [
    "ChatRequest",
    "Endpoint",
    "LocalConfig",
    "Meter",
    "Price",
    "RehearsalConfig",
    "RemoteConfig",
    "Reply",
    "Teacher",
    "TeacherConfig",
    "Waits",
    "keys_of",
    "make_teacher",
    "price_of",
    "recorded_price",
]

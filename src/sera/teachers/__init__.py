"""Teachers: whoever answers the agent's messages. `contract` says what one promises; this is the one
place where a kind is chosen."""

from sera.teachers.chat_client import ChatConfig, ChatTeacher
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher

TeacherConfig = RehearsalConfig | ChatConfig


def make_teacher(config: TeacherConfig) -> Teacher:
    """The teacher that the settings describe. Nothing is connected until it is entered."""
    match config:
        case RehearsalConfig():
            return RehearsalTeacher(config)
        case ChatConfig():
            return ChatTeacher(config)


__all__ = [
    "ChatConfig",
    "ChatRequest",
    "RehearsalConfig",
    "Reply",
    "Teacher",
    "TeacherConfig",
    "make_teacher",
]

"""Former names of `teachers.remote`, until `tests/teachers/rehearsal/test_server.py` uses the new ones."""

from sera.teachers.remote import RemoteConfig as ChatConfig
from sera.teachers.remote import RemoteTeacher as ChatTeacher

__all__ = ["ChatConfig", "ChatTeacher"]

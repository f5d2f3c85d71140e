"""A teacher at the other end of a network: one model behind one endpoint or several. See
`docs/teachers.md`."""

from sera.teachers.remote.config import Endpoint, RemoteConfig
from sera.teachers.remote.teacher import RemoteTeacher
from sera.teachers.remote.waits import Waits

__all__ = ["Endpoint", "RemoteConfig", "RemoteTeacher", "Waits"]

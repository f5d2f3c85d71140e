"""What teachers around another teacher share: they are opened, closed and described with it."""

from typing import Any, Self

from sera.teachers.contract import Teacher


class TeacherAround:
    """Base of teachers that change what another is asked, or what it answers, in `complete`."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    async def __aenter__(self) -> Self:
        await self._teacher.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._teacher.__aexit__(*exc)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the teacher."""
        return self._teacher.settings

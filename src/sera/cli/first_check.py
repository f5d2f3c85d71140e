"""What `generate` and `evaluate` do before anything else: ask a remote teacher something short."""

from typing import TYPE_CHECKING

from sera.cli.common import complain

if TYPE_CHECKING:
    from sera.harness import Profile
    from sera.teachers import Teacher, TeacherConfig


async def first_check(
    config: "TeacherConfig", teacher: "Teacher", profile: "Profile", calls_needed: bool
) -> None:
    """See that the teacher answers, as `check_briefly` does. Other teachers than remote ones are asked nothing.

    Calls that are left in the text are `TeacherUnusable` if they are needed, and else said, as is a missing one.
    """
    from sera.errors import TeacherUnusable
    from sera.teachers import RemoteConfig
    from sera.teachers.checkup import check_briefly

    if not isinstance(config, RemoteConfig):
        return
    found = await check_briefly(teacher, profile)
    told = f"{found.text}: {found.cure}"
    if found.state == "problem" and calls_needed:
        raise TeacherUnusable(told)
    if found.state != "ok":
        complain(told)

"""The work of an evaluation: check the tasks, then bring every trial to its end.

    prediction, or rollout as in generation ─► patch ─► judge ─► log, outcome

Whatever was recorded before is not done again. A rollout under way goes on from its last step.
"""

import time
from collections.abc import Awaitable, Callable

import msgspec

from sera.agent import Agent
from sera.agent.recorded import Assignment, Rollouts, seed_of
from sera.errors import RolloutError, TasksError
from sera.evaluation.bounded import BoundedTeacher
from sera.evaluation.folder import Evaluation
from sera.evaluation.grading import Grade, Ground, check_task, ground_of
from sera.evaluation.plan import Plan, Trial
from sera.evaluation.pool import Pool
from sera.evaluation.record import Outcome, State
from sera.evaluation.swebench import write_log
from sera.evaluation.tasks.record import Instance
from sera.records import End, Rollout, Stage, content_id
from sera.teachers import Teacher, Waits

Finished = Callable[[Outcome], None]
_MOST_SAID = 500
"""Characters of git's own message."""


class Trials:
    """One process's work on one evaluation; `teacher` None: predictions are judged."""

    def __init__(
        self, plan: Plan, evaluation: Evaluation, teacher: Teacher | None, waits: Waits | None = None
    ) -> None:
        self._plan = plan
        self._evaluation = evaluation
        self._pool = Pool(plan.config.workers, waits)
        self._rollouts = self._rollouts_of(teacher) if teacher else None

    @property
    def halted(self) -> str:
        """Why the work was ended early; empty if it was not."""
        return self._pool.halted

    def halt(self, reason: str) -> None:
        """Let the steps under way end, begin no others."""
        self._pool.halt(reason)

    def unchecked(self) -> list[Instance]:
        """The tasks that `check` will judge: not those found sound before, nor those left out."""
        leave_out = self._plan.config.broken == "leave_out"
        known = {one.task for one in self._evaluation.checks if leave_out or not one.problem}
        return [one for one in self._plan.tasks if one.instance_id not in known]

    async def check(self) -> None:
        """Judge the own patch of every task that is unchecked, and none.

        Raises `TasksError` that names broken tasks, unless they are to be left out.
        """
        checks = self._evaluation.checks
        await self._pool.work(self.unchecked(), self._check)
        if self.halted or self._plan.config.broken == "leave_out":
            return
        if bad := [f"{one.task}: {one.problem}" for one in checks if one.problem]:
            raise TasksError(
                f"{len(bad)} of {len(self._plan.tasks)} tasks cannot be evaluated ({'; '.join(bad[:5])}"
                f"{'; …' if len(bad) > 5 else ''}): build them anew, or --set broken=leave_out"
            )

    async def first(self, check: Callable[[], Awaitable[None]]) -> None:
        """What comes before the work; a stop ends it at once."""
        await self._pool.first(check)

    async def work(self, finished: Finished) -> None:
        """Work off what is owed; `finished` is called with every outcome."""

        async def end(trial: Trial) -> None:
            outcome = await self._bring_to_end(trial)
            self._evaluation.outcomes.append(outcome)
            finished(outcome)

        await self._pool.work(owed(self._plan, self._evaluation), end)

    async def _check(self, instance: Instance) -> None:
        self._evaluation.checks.append(await check_task(self._plan, instance))

    async def _bring_to_end(self, trial: Trial) -> Outcome:
        """Never raises a `RolloutError`: that is the state `failed`."""
        try:
            async with ground_of(self._plan, trial.instance) as ground:
                if self._rollouts is None:
                    return await self._judge_prediction(trial, ground)
                rollout = await self._rollouts.have(self._assignment(trial), ground.backend)
                return await self._judge_rollout(trial, ground, rollout)
        except RolloutError as problem:
            reason = self._plan.redactor.clean(f"{type(problem).__name__}: {problem}")
            return _outcome(trial, State.FAILED, reason)

    async def _judge_prediction(self, trial: Trial, ground: Ground) -> Outcome:
        """The empty patch is judged too: it is how one sees that tasks are sound."""
        patch = (self._plan.predictions or {}).get(trial.instance.instance_id, "")
        grade = await ground.grade(patch, self._plan.config.test_seconds)
        self._log(trial, patch, grade)
        return _outcome(trial, _state(patch, grade), _reason(grade), grade)

    async def _judge_rollout(self, trial: Trial, ground: Ground, rollout: Rollout) -> Outcome:
        reason = "" if rollout.end is End.SUBMITTED else str(rollout.end)
        grade = None
        if rollout.patch.strip():
            grade = await ground.grade(rollout.patch, self._plan.config.test_seconds)
        self._log(trial, rollout.patch, grade)
        reason = reason or (_reason(grade) if grade else "")
        return _outcome(trial, _state(rollout.patch, grade), reason, grade, rollout.id)

    def _log(self, trial: Trial, patch: str, grade: Grade | None) -> None:
        write_log(self._evaluation.path, self._plan.model, trial.seed, trial.instance, patch, grade)

    def _assignment(self, trial: Trial) -> Assignment:
        identity = content_id(trial.instance.instance_id, trial.seed)
        return Assignment(
            id=identity,
            task=trial.instance.instance_id,
            stage=Stage.T2,
            attempt=trial.seed,
            request=trial.instance.problem_statement,
            seed=seed_of(self._plan.config.seed, identity),
        )

    def _rollouts_of(self, teacher: Teacher) -> Rollouts:
        assert self._plan.profile, "a model is asked with a harness"
        agent = Agent(
            teacher=BoundedTeacher(teacher, self._plan.config.context),
            profile=self._plan.profile,
            config=self._plan.config.agent,
            permission=self._pool.permission,
            redactor=self._plan.redactor,
            project=self._plan.project,
        )
        return Rollouts(agent, self._evaluation.rollouts, self._evaluation.trail)


def sound(plan: Plan, evaluation: Evaluation) -> list[Instance]:
    """The tasks that count: all but those that the check has found broken."""
    bad = {one.task for one in evaluation.checks if one.problem}
    return [one for one in plan.tasks if one.instance_id not in bad]


def owed(plan: Plan, evaluation: Evaluation) -> list[Trial]:
    """Trials without a definite end, in order."""
    ended, counting = evaluation.ended(), {one.instance_id for one in sound(plan, evaluation)}
    return [one for one in plan.trials if one.id not in ended and one.instance.instance_id in counting]


def _state(patch: str, grade: Grade | None) -> State:
    if grade and grade.resolved:
        return State.RESOLVED
    if not patch.strip():
        return State.EMPTY
    return State.UNRESOLVED if grade and grade.applied else State.UNAPPLIED


def _reason(grade: Grade) -> str:
    """Why a patch was not judged: its tests were not run to their end, or what git said of it."""
    said = "" if grade.applied else "; ".join(grade.output.split("\n")).strip("; ")
    return grade.incomplete or said[:_MOST_SAID]


def _outcome(
    trial: Trial, state: State, reason: str, grade: Grade | None = None, rollout: str = ""
) -> Outcome:
    outcome = Outcome(
        task=trial.instance.instance_id,
        seed=trial.seed,
        state=state,
        reason=reason,
        rollout=rollout,
        finished=round(time.time(), 3),
    )
    if grade is None:
        return outcome
    return msgspec.structs.replace(
        outcome,
        still_failing=grade.still_failing,
        broken=grade.broken,
        flaky=grade.flaky,
        in_time=grade.in_time,
        test_seconds=grade.seconds,
    )

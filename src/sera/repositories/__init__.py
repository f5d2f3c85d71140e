"""Repositories: from whatever the user names to a snapshot, its functions and a plan of tasks.

source ── `open_snapshot` ──▶ `Snapshot` ── `index_functions` ──▶ `FunctionIndex` ── `plan_tasks` ──▶ tasks
"""

from sera.repositories.functions import FunctionIndex, IndexRules, index_functions
from sera.repositories.sampling import Weights, plan_tasks
from sera.repositories.snapshots import Snapshot, open_snapshot
from sera.repositories.staging import SourceLimits

__all__ = [
    "FunctionIndex",
    "IndexRules",
    "Snapshot",
    "SourceLimits",
    "Weights",
    "index_functions",
    "open_snapshot",
    "plan_tasks",
]

"""Analysis: what a run will cost, from statistics; see `docs/forecast.md`."""

from sera.analysis.basis import Basis, Measured, Spent, Use
from sera.analysis.forecast import Figure, Forecast, Plan, Yield, forecast
from sera.analysis.interval import Interval
from sera.analysis.outlook import Outlook
from sera.analysis.published import Published, published, rehearsed
from sera.analysis.runs import measure

__all__ = [
    "Basis",
    "Figure",
    "Forecast",
    "Interval",
    "Measured",
    "Outlook",
    "Plan",
    "Published",
    "Spent",
    "Use",
    "Yield",
    "forecast",
    "measure",
    "published",
    "rehearsed",
]

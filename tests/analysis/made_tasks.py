"""Tasks by hand for tests of forecasts."""

from sera.analysis import Spent


def spent(factor: float = 1.0, seconds: float = 600.0) -> Spent:
    """One task of two trajectories."""
    return Spent(
        trajectories=2,
        calls=70 * factor,
        cached=1_500_000 * factor,
        fresh=48_000 * factor,
        output=15_000 * factor,
        seconds=seconds,
        run_bytes=300_000 * factor,
        row_bytes=120_000 * factor,
    )

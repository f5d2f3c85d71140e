"""What of the suites `make test` leaves to `make soak`."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a class with `first_cases`, the first case of each test stands for all: the others are soak."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item.cls, "first_cases", False):
            name = item.nodeid.partition("[")[0]
            if name in seen:
                item.add_marker(pytest.mark.soak)
            seen.add(name)

"""One seed for all, and loud skips."""

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from minissm import backend
from minissm.lab.machine import cores

for helper in ("cuda_shim", "fake_cupy", "fake_device", "oracles", "runs"):
    pytest.register_assert_rewrite(f"tests.{helper}")  # their asserts explain themselves, and hold under python -O
settings.register_profile("any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")  # by default an example that takes 200 ms fails, as on a slow or busy machine


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs in a process for each core, by pytest-xdist: pytest -n 0 for one. Debuggers get one."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    if whole and config.getoption("numprocesses", 0) is None and not config.option.usepdb:
        config.option.numprocesses, config.option.dist = min(cores(), 4), "worksteal"


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and the tests of Ctrl-C would wait in vain."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread() -> Iterator[None]:
    """Small products on several threads are slow wherever something else wants the cores, and round differently."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def card() -> Any:
    """CuPy with a GPU that computes, for tests marked gpu; without one they are skipped, and counted at the end."""
    try:
        return backend.cupy()
    except RuntimeError as error:
        pytest.skip(f"not run on a GPU: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    slow = sum(item.get_closest_marker("slow") is not None for item in terminalreporter.stats.get("deselected", []))
    gpu = sum("gpu" in getattr(report, "keywords", ()) for report in skipped)  # a file skipped as a whole has none
    if slow:
        terminalreporter.line(f"{slow} slow tests not run: pytest -m slow")
    if gpu:
        asked = "gpu" in terminalreporter.config.option.markexpr
        how = "there is no GPU that CuPy computes on" if asked else "pytest -m gpu, where there is a GPU"
        terminalreporter.line(f"{gpu} GPU tests not run: {how}")
    if skipped:
        terminalreporter.section(f"{len(skipped)} tests not run")
        for reason in sorted({str(report.longrepr[2]) for report in skipped}):
            terminalreporter.line(reason)

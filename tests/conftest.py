"""Puts this directory on the path, so that tests anywhere below it can import `compare`; keeps memory in bounds; tells
of a worker that died what it was doing and how much memory there was."""

import faulthandler
import os
import pathlib
import tempfile

import jax
import pytest

import cyxla

# Kilobytes from which a process forgets its compiled programs between two modules of tests.
MUCH_MEMORY = 2_000_000


def kilobytes(path, field):
    with open(path) as file:
        return int(next(line for line in file if line.startswith(field)).split()[1])


@pytest.fixture(autouse=True, scope="module")
def bounded_memory(request):
    yield
    try:
        used, left = kilobytes("/proc/self/status", "VmRSS:"), kilobytes("/proc/meminfo", "MemAvailable:")
    except OSError:
        used, left = MUCH_MEMORY + 1, None  # not Linux
    if LAST_WORDS in request.config.stash:
        print(f"after {request.node.nodeid}: {used} kB used, {left} left", file=request.config.stash[LAST_WORDS])
    if used > MUCH_MEMORY:
        jax.clear_caches()
        cyxla.clear_caches()


LAST_WORDS = pytest.StashKey()
DIRECTORY = pytest.StashKey()


class LastWords:
    """Hooks of the process that starts workers: where they write, and what those wrote that died."""

    def __init__(self):
        self.died = []

    def pytest_configure_node(self, node):
        node.workerinput["last_words"] = node.config.stash.setdefault(DIRECTORY, tempfile.mkdtemp())

    def pytest_testnodedown(self, node, error):
        if error is not None:
            self.died.append(node.gateway.id)

    def pytest_terminal_summary(self, terminalreporter, config):
        for worker in self.died:
            terminalreporter.section(f"last words of {worker}")
            lines = pathlib.Path(config.stash[DIRECTORY], worker).read_text("utf-8").splitlines()
            before = [line for line in lines if line.startswith(("after", "Fatal"))]
            current = next((i for i, line in enumerate(lines) if line.startswith("Current thread")), len(lines))
            terminalreporter.write_line("\n".join(before[-3:] + lines[current : current + 25]))


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if hasattr(config, "workerinput"):
        path = os.path.join(config.workerinput["last_words"], config.workerinput["workerid"])
        config.stash[LAST_WORDS] = open(path, "w", buffering=1)  # noqa: SIM115 - as long as the process lives
        faulthandler.enable(config.stash[LAST_WORDS])
    elif config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(LastWords())

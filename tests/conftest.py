"""Puts this directory on the path, so that tests anywhere below it can import `compare`; keeps memory in bounds."""

import os

import jax
import pytest

import cyxla

# Kilobytes from which a process forgets its compiled programs between two modules of tests.
MUCH_MEMORY = 2_000_000


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    yield
    try:
        much = resident() > MUCH_MEMORY
    except OSError:
        much = True  # not Linux
    if much:
        jax.clear_caches()
        cyxla.clear_caches()

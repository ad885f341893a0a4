"""PJRT plugins: accelerators that come as separate packages."""


def names():
    return []


def find(name):
    return None


def make_client(name):
    raise RuntimeError(f"no plugin for platform {name!r} is installed")

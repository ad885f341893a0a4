"""Functions of other libraries as targets of custom calls."""

import os


def register_target(name, function, platform, api_version, **options):
    """Makes a PyCapsule, or a dict of those by stage, known to XLA under a name."""
    from . import xla

    xla.xla_client.register_custom_call_target(name, function, platform, api_version, **options)


def register_type(name, registration, platform):
    """Makes a type that handlers keep their state in known to XLA."""
    from . import xla

    xla.xla_client.register_custom_type(name, registration, platform)


def register_batch_partitionable(name):
    """Says that a target may be called on parts of a batch."""
    from . import xla

    xla.xla_client.register_custom_call_as_batch_partitionable(name)


def include_dir():
    """The directory of XLA's headers for such functions."""
    import jaxlib

    return os.path.join(os.path.dirname(os.path.abspath(jaxlib.__file__)), "include")

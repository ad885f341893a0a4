"""What a concrete array asks of the runtime; loaded when the first array meets a device."""

from cyxla._engine.core import get_trace
from cyxla._runtime import backend, buffers, guards
from cyxla._runtime.buffers import copy_to_host_async, device_to_host, on_device_size, unsafe_pointer
from cyxla._runtime.dlpack import dlpack_device, to_dlpack
from cyxla._runtime.sharding import single_device_sharding

__all__ = [
    "Shard",
    "copy_to_device",
    "copy_to_host_async",
    "default_device",
    "device_to_host",
    "dlpack_device",
    "guard_host_to_device",
    "host_to_device",
    "on_device_size",
    "shards",
    "single_device_sharding",
    "to_dlpack",
    "unsafe_pointer",
]

default_device = backend.default_device


def host_to_device(array, device):
    return buffers.host_to_device(array, backend.default_device() if device is None else device)


def guard_host_to_device(value):
    """Called for values that become arrays, while some transfer guard is set."""
    if get_trace() is None:
        guards.check("host_to_device", value)


def copy_to_device(buffer, device):
    guards.check("device_to_device", buffer.aval)
    return buffers.copy_to_device(buffer, device)


def copy_buffer(buffer, device):
    """The same contents in memory of their own."""
    return buffers.copy_to_device(buffer, device, always=True)


class Shard:
    """The part of an array that is on one device; `data` is it as an array."""

    __slots__ = ("data", "device", "index", "replica_id")

    def __init__(self, array):
        self.device = array.device
        self.index = tuple(slice(None) for _ in array.shape)
        self.replica_id = 0
        self.data = array

    def __repr__(self):
        return f"Shard(device={self.device!r}, index={self.index}, replica_id={self.replica_id}, data={self.data})"


def shards(array):
    """The shards of an array on one device: one."""
    return [Shard(array)]

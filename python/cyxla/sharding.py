"""Where arrays live: shardings."""

from cyxla._runtime.sharding import Sharding, SingleDeviceSharding, single_device_sharding


def make_single_device_sharding(device, *, memory_kind=None):
    """The sharding of arrays that are on one device."""
    return (
        single_device_sharding(device) if memory_kind is None else SingleDeviceSharding(device, memory_kind=memory_kind)
    )


__all__ = ["Sharding", "SingleDeviceSharding", "make_single_device_sharding"]

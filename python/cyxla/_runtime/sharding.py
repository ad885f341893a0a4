"""How an array lies on devices: the base class, and the case of one device."""

import abc

from cyxla._engine.caches import cached

__all__ = ["Sharding", "SingleDeviceSharding"]


class Sharding(abc.ABC):
    """How the values of an array are laid out across devices.

    Subclasses define what is abstract here; `_devices` is a tuple, in the order of the shards.
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def _devices(self): ...

    @property
    @abc.abstractmethod
    def memory_kind(self):
        """The kind of the devices' memory that holds the array, such as `"device"`."""

    @abc.abstractmethod
    def with_memory_kind(self, kind):
        """The same placement in another kind of memory."""

    @property
    @abc.abstractmethod
    def is_fully_replicated(self):
        """Whether every device holds the whole array."""

    @abc.abstractmethod
    def devices_indices_map(self, global_shape):
        """For each device, the index of its part of an array of the given shape."""

    @property
    def device_set(self):
        """The devices that hold the array, those of other processes included."""
        return set(self._devices)

    @property
    def num_devices(self):
        """The number of devices that hold the array."""
        return len(self._devices)

    @property
    def addressable_devices(self):
        """The devices that this process can use."""
        return {device for device in self._devices if device.process_index == device.client.process_index()}

    @property
    def has_addressable_devices(self):
        """Whether this process can use any of the devices."""
        return bool(self.addressable_devices)

    @property
    def is_fully_addressable(self):
        """Whether this process can use all of the devices."""
        return len(self.addressable_devices) == len(self._devices)

    def addressable_devices_indices_map(self, global_shape):
        """For each device of this process, the index of its part of an array of the given shape."""
        here = self.addressable_devices
        return {device: index for device, index in self.devices_indices_map(global_shape).items() if device in here}

    def shard_shape(self, global_shape):
        """The shape of each device's part of an array of the given shape."""
        index = next(iter(self.devices_indices_map(global_shape).values()))
        return tuple(len(range(*part.indices(size))) for part, size in zip(index, global_shape, strict=True))

    def is_equivalent_to(self, other, ndim):
        """Whether both place arrays of that many dimensions in the same way."""
        probe = (1 << 20,) * ndim
        return (
            isinstance(other, Sharding)
            and self._devices == other._devices
            and self.memory_kind == other.memory_kind
            and self.devices_indices_map(probe) == other.devices_indices_map(probe)
        )


@cached("memory kinds of devices", 256)
def _default_memory_kind(device):
    return device.default_memory().kind


class SingleDeviceSharding(Sharding):
    """The whole array on one device.

    Args:
      device: the device.
      memory_kind: the kind of its memory; None for the default one.

    Raises:
      TypeError: if `device` is no device.
      ValueError: if the device has no memory of that kind.

    Example:
      >>> import cyxla as jax
      >>> jax.sharding.SingleDeviceSharding(jax.devices()[0])
      SingleDeviceSharding(device=CpuDevice(id=0), memory_kind=device)
    """

    __slots__ = ("_device", "_memory_kind")

    def __init__(self, device, memory_kind=None):
        if not hasattr(device, "addressable_memories"):
            raise TypeError(f"SingleDeviceSharding needs a device, as in jax.devices()[0], not {device!r}")
        if memory_kind is not None:
            kinds = [memory.kind for memory in device.addressable_memories()]
            if memory_kind not in kinds:
                raise ValueError(
                    f"{device.device_kind} has no memory of kind {memory_kind!r}; its kinds are {', '.join(kinds)}"
                )
        self._device = device
        self._memory_kind = memory_kind

    @property
    def _devices(self):
        return (self._device,)

    @property
    def memory_kind(self):
        if self._memory_kind is None:
            return _default_memory_kind(self._device)
        return self._memory_kind

    def with_memory_kind(self, kind):
        return SingleDeviceSharding(self._device, kind)

    @property
    def is_fully_replicated(self):
        return True

    def devices_indices_map(self, global_shape):
        return {self._device: (slice(None),) * len(global_shape)}

    def shard_shape(self, global_shape):
        return tuple(global_shape)

    def __reduce__(self):
        raise TypeError("a SingleDeviceSharding cannot be pickled: devices belong to their process")

    def __eq__(self, other):
        if not isinstance(other, SingleDeviceSharding):
            return NotImplemented
        return self is other or (self._device is other._device and self.memory_kind == other.memory_kind)

    def __hash__(self):
        return hash((self._device, self.memory_kind))

    def __repr__(self):
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind={self.memory_kind})"


@cached("shardings of devices", 256)
def single_device_sharding(device):
    """The SingleDeviceSharding of a device in its default memory; one object a device."""
    return SingleDeviceSharding(device)

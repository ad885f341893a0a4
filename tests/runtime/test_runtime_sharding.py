import pytest

from cyxla._runtime.sharding import Sharding, SingleDeviceSharding, single_device_sharding


def test_attributes(device):
    sharding = SingleDeviceSharding(device)
    assert isinstance(sharding, Sharding)
    assert sharding.device_set == {device}
    assert sharding.addressable_devices == {device}
    assert sharding.num_devices == 1
    assert sharding.is_fully_replicated and sharding.is_fully_addressable and sharding.has_addressable_devices
    assert sharding.shard_shape((2, 3)) == (2, 3)
    assert sharding.devices_indices_map((2, 3)) == {device: (slice(None), slice(None))}
    assert sharding.addressable_devices_indices_map(()) == {device: ()}
    assert sharding.memory_kind == "device"


def test_equality(device):
    sharding = SingleDeviceSharding(device)
    same = SingleDeviceSharding(device, memory_kind="device")
    assert sharding == same and hash(sharding) == hash(same) and sharding.is_equivalent_to(same, 3)
    other = sharding.with_memory_kind("unpinned_host")
    assert other != sharding and not other.is_equivalent_to(sharding, 1)
    assert sharding != 3 and not sharding.is_equivalent_to(3, 1)
    assert single_device_sharding(device) is single_device_sharding(device)
    assert len({sharding, same, other}) == 2


def test_errors(device):
    with pytest.raises(ValueError, match="no memory of kind"):
        SingleDeviceSharding(device, memory_kind="foo")
    with pytest.raises(TypeError, match="needs a device"):
        SingleDeviceSharding(None)


def test_as_jax_shows_it(device):
    jax = pytest.importorskip("jax")
    theirs = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
    ours = SingleDeviceSharding(device)
    assert repr(ours) == repr(theirs)
    for name in ("memory_kind", "num_devices", "is_fully_replicated", "is_fully_addressable"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.shard_shape((4, 5)) == theirs.shard_shape((4, 5))

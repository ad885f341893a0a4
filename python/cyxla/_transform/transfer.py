"""Moving arrays between host and devices, and waiting for them."""

import numpy as np

from cyxla._engine.array import Array, ArrayImpl, array_from_buffer, asarray, is_arraylike, own
from cyxla._engine.core import Primitive
from cyxla._engine.pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from cyxla._transform.references import is_reference

device_put_p = Primitive(
    "device_put",
    abstract=lambda aval, **params: aval,
    impl=lambda x, *, device: _place(x, device, False),
    linear=True,
    transpose=lambda ct, x, **params: [ct],
    batch=lambda args, dims, **params: (device_put_p.bind(args[0], **params), dims[0]),
    # Within one program everything is on the devices that the program runs on.
    lower=lambda ctx, x, **params: x,
)


def _device_of(target):
    """The device that a device, a single-device sharding or None stands for."""
    if target is None:
        return None
    devices = getattr(target, "device_set", None)
    if devices is None:
        return target
    if len(devices) != 1:
        raise ValueError(f"device_put moves arrays to one device; {target} has {len(devices)}")
    return next(iter(devices))


def _place(x, target, donate):
    from cyxla._runtime import buffers, guards

    with guards.explicit:
        array = own(asarray(x))
    device = _device_of(target)
    if device is None:
        return array
    if array.committed and array.device == device:
        return array
    buffer = array._buffer
    if array.device != device:
        with guards.explicit:
            guards.check("device_to_device", array)
    moved = buffers.copy_to_device(buffer, device)
    if donate and moved is not buffer:
        array.delete()
    return array_from_buffer(moved, array.aval, device, True)


def device_put(x, device=None, *, src=None, donate=False, may_alias=None):
    """The arrays of a pytree on a device (or with a sharding, or a tree prefix of those); None leaves them where they
    are.

    Arrays placed so are committed: computations with them run on their device. Raises TypeError for what is not an
    array.

    >>> import cyxla
    >>> cyxla.device_put(1.0, cyxla.devices()[0]).devices() == {cyxla.devices()[0]}
    True
    """
    from cyxla.tree_util import broadcast_prefix

    leaves, tree = tree_flatten(x)
    targets = (
        broadcast_prefix(device, x, is_leaf=lambda d: d is None) if isinstance(device, (dict, list, tuple)) else None
    )
    results = []
    for i, leaf in enumerate(leaves):
        if not is_arraylike(leaf) or is_reference(leaf):
            raise TypeError(
                f"device_put takes arrays and numbers, in containers; got {leaf!r:.200} of type {type(leaf).__name__}"
            )
        target = device if targets is None else targets[i]
        if isinstance(leaf, Array) and not isinstance(leaf, ArrayImpl):
            results.append(device_put_p.bind(leaf, device=target))
        else:
            results.append(_place(leaf, target, donate))
    return tree_unflatten(tree, results)


def device_get(x):
    """The arrays of a pytree as NumPy arrays; typed PRNG keys stay as they are.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.device_get({"a": jnp.arange(2)})
    {'a': array([0, 1], dtype=int32)}
    """
    from cyxla._runtime import guards

    for leaf in tree_leaves(x):
        if isinstance(leaf, ArrayImpl):
            leaf.copy_to_host_async()
    with guards.explicit:
        return tree_map(
            lambda leaf: np.asarray(leaf) if hasattr(leaf, "__array__") and not is_extended(leaf) else leaf, x
        )


def is_extended(leaf):
    return hasattr(getattr(leaf, "dtype", None), "physical_shape")


def block_until_ready(x):
    """Waits until every array of a pytree is computed; returns the pytree.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.block_until_ready(jnp.ones(2) + 1)
    Array([2., 2.], dtype=float32)
    """
    for leaf in tree_leaves(x):
        wait = getattr(leaf, "block_until_ready", None)
        if wait is not None:
            wait()
    return x


def copy_to_host_async(x):
    """Starts copying every array of a pytree to the host; returns the pytree."""
    for leaf in tree_leaves(x):
        if isinstance(leaf, ArrayImpl):
            leaf.copy_to_host_async()
    return x

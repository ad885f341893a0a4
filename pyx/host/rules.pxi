# -- from the parameters of a primitive to those of a kernel: (kernel, sequences of integers), or None for XLA

cdef list dense(tuple shape):
    """Strides of a dense array, in elements."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return strides


cdef object product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total


def _copy(avals, outs, **params):
    return "copy", ()


def _broadcast_in_dim(avals, outs, shape, broadcast_dimensions, sharding=None):
    strides = [0] * len(shape)
    for axis, size, stride in zip(broadcast_dimensions, avals[0].shape, dense(avals[0].shape)):
        strides[axis] = 0 if size == 1 else stride
    return "view", ((0,), shape, strides)


def _transpose(avals, outs, permutation):
    strides = dense(avals[0].shape)
    return "view", ((0,), outs[0].shape, [strides[axis] for axis in permutation])


def _reshape(avals, outs, new_sizes, dimensions, sharding=None):
    if dimensions is None:
        return "copy", ()
    shape = avals[0].shape
    strides = dense(shape)
    return "view", ((0,), [shape[axis] for axis in dimensions], [strides[axis] for axis in dimensions])


def _rev(avals, outs, dimensions):
    shape = avals[0].shape
    strides = dense(shape)
    offset = 0
    for axis in dimensions:
        offset += (shape[axis] - 1) * strides[axis]
        strides[axis] = -strides[axis]
    return "view", ((offset if avals[0].size else 0,), shape, strides)


def _slice(avals, outs, start_indices, limit_indices, strides):
    steps = dense(avals[0].shape)
    offset = sum([start * step for start, step in zip(start_indices, steps)])
    if strides is not None:
        steps = [step * stride for step, stride in zip(steps, strides)]
    return "view", ((offset,), outs[0].shape, steps)


def _tile(avals, outs, reps):
    shape = avals[0].shape
    sizes = []
    strides = []
    for size, count, step in zip(shape, reps, dense(shape)):
        sizes += [count, size]
        strides += [0, step]
    return "view", ((0,), sizes, strides)


def _rows(shape, axis):
    # Where there is nothing to copy, any number of rows will do.
    return product(shape[:axis]) or 1


def _concatenate(avals, outs, dimension):
    return "concatenate", ((_rows(avals[0].shape, dimension),),)


def _stack(avals, outs, axis):
    return "concatenate", ((_rows(avals[0].shape, axis),),)


def _split(avals, outs, axis, sizes=None):
    return "split", ((_rows(avals[0].shape, axis),),)


def _pad(avals, outs, padding_config):
    return "pad", ([low for low, _, _ in padding_config], [high for _, high, _ in padding_config],
                   [interior for _, _, interior in padding_config])


def _dynamic_slice(avals, outs, slice_sizes):
    return "dynamic_slice", ()


def _iota(avals, outs, dtype, shape, dimension, sharding=None):
    return "iota", ((dimension,),)


def _convert(avals, outs, new_dtype, weak_type, sharding=None):
    return "copy" if avals[0].code == outs[0].code else "convert", ()


def _bitcast(avals, outs, new_dtype):
    return "copy", ()


def _round(avals, outs, rounding_method):
    return "round_even" if rounding_method.name == "TO_NEAREST_EVEN" else "round_away", ()


def _integer_pow(avals, outs, y):
    return ("integer_pow", ((y,),)) if -(1 << 31) < y < 1 << 31 else None


def _accurate(name):
    def rule(avals, outs, accuracy=None):
        return (name, ()) if accuracy is None else None

    return rule


def _reduce(name):
    def rule(avals, outs, axes, index_dtype=None, out_sharding=None):
        return name, (axes,)

    return rule


def _gather(avals, outs, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value):
    if not avals[0].size:
        return None
    clamps = mode.name in ("CLIP", "PROMISE_IN_BOUNDS")
    fill = b"" if clamps else np.asarray(fill_value if mode.name == "FILL_OR_DROP" else 0, outs[0].dtype).tobytes()
    return "gather", (*dimension_numbers, slice_sizes, (clamps,), fill)


def _scatter(name):
    def rule(avals, outs, dimension_numbers, indices_are_sorted, unique_indices, mode, update_jaxpr, update_consts):
        x, indices, updates = avals
        if not x.size or not updates.size:
            return "copy", ()
        if name == "scatter" and update_jaxpr is not None:
            return None
        window, inserted, _, batching, _ = dimension_numbers
        sizes = iter([updates.shape[axis] for axis in window])
        sizes = [1 if axis in inserted or axis in batching else next(sizes) for axis in range(x.ndim)]
        return name, (*dimension_numbers, sizes, (mode.name == "CLIP",))

    return rule


# Primitives without a row have a kernel of their own name and no parameters.
cdef dict RULES = {
    "argmax": _reduce("argmax"),
    "argmin": _reduce("argmin"),
    "bitcast_convert_type": _bitcast,
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "conj": lambda avals, outs, input_dtype: ("conj", ()),
    "convert_element_type": _convert,
    "copy": _copy,
    "dynamic_slice": _dynamic_slice,
    "empty": lambda avals, outs, **params: ("zeros", ()),
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "pad": _pad,
    "reduce_and": _reduce("reduce_and"),
    "reduce_max": _reduce("reduce_max"),
    "reduce_min": _reduce("reduce_min"),
    "reduce_or": _reduce("reduce_or"),
    "reduce_prod": _reduce("reduce_prod"),
    "reduce_sum": _reduce("reduce_sum"),
    "reduce_xor": _reduce("reduce_xor"),
    "reshape": _reshape,
    "rev": _rev,
    "round": _round,
    "scatter": _scatter("scatter"),
    "scatter-add": _scatter("scatter_add"),
    "scatter-max": _scatter("scatter_max"),
    "scatter-min": _scatter("scatter_min"),
    "scatter-mul": _scatter("scatter_mul"),
    "scatter-sub": _scatter("scatter_sub"),
    "slice": _slice,
    "split": _split,
    "sqrt": _accurate("sqrt"),
    "squeeze": _copy,
    "stack": _stack,
    "stop_gradient": _copy,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _split,
}

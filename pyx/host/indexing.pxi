# Reading and overwriting at indices of ints, slices, None and Ellipsis, and filled arrays: one kernel, no primitive in
# between. Whatever does not fit is left to the functions of cyxla.numpy, which say what is wrong with it.

cdef object read_elsewhere = None    # (x, index)
cdef object static_plan = None       # (shape, index, key, wrap) -> StaticPlan of numpy/index_plans.py


def install_indexing(getitem, plan):
    """`getitem(x, index)` reads what is not read here; `plan` makes a `StaticPlan` of an index."""
    global read_elsewhere, static_plan
    read_elsewhere = getitem
    static_plan = plan


def static_key(index):
    """A hashable key of an index of ints, slices, None and Ellipsis; None for all other indices."""
    cdef list key
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        return slice_key(index)
    if kind is not tuple:
        return "..." if index is Ellipsis else "None" if index is None else None
    key = []
    for entry in <tuple> index:
        kind = type(entry)
        if kind is slice:
            entry = slice_key(entry)
            if entry is None:
                return None
        elif kind is not int and entry is not None and entry is not Ellipsis:
            return None
        key.append(entry)
    return tuple(key)


cdef object slice_key(object entry):
    start, stop, step = entry.start, entry.stop, entry.step
    if (start is None or type(start) is int) and (stop is None or type(stop) is int) and (
            step is None or type(step) is int):
        return (slice, start, stop, step)
    return None


cdef Plan remember(dict plans, key, Plan plan):
    keep(plans, key, plan, INDEX_BOUND, "host plans of indexing")
    return plan


cdef tuple window_of(tuple shape, found):
    """Offset, sizes and strides, in elements, of what a StaticPlan reads."""
    cdef list steps = dense(shape)
    cdef list strides = []
    offset = 0
    axis = 0
    for entry in found.host:
        if entry is None:
            strides.append(0)
            continue
        step = steps[axis]
        axis += 1
        if type(entry) is int:
            offset += entry * step
        else:
            offset += entry.start * step
            strides.append(entry.step * step)
    return (offset,), found.out_shape, strides


cdef Plan plan_read(ShapedArray aval, index, key):
    found = static_plan(aval.shape, index, key, True)
    out = shaped_array(found.out_shape, aval.code, aval.weak_type)
    return remember(reads, (aval, key), make_plan("view", (aval,), (out,), window_of(aval.shape, found)))


def getitem(x, index):
    """``x[index]`` of an array."""
    cdef Plan plan
    cdef ArrayImpl result
    if type(x) is ArrayImpl and current_trace() is None and enabled():
        key = static_key(index)
        if key is not None:
            aval = (<ArrayImpl> x).aval
            plan = <Plan> reads.get((aval, key))
            if plan is None:
                plan = plan_read(aval, index, key)
            if plan.operation is not NULL:
                result = plan.run_one(<ArrayImpl> x, None)
                if result is not None:
                    return result
    return read_elsewhere(x, index)


cdef Plan plan_write(ShapedArray aval, ShapedArray values, index, key):
    cdef Plan plan = Plan.__new__(Plan)
    cdef Py_ssize_t i, lead
    found = static_plan(aval.shape, index, key, True)
    shape = found.out_shape
    lead = len(shape) - values.ndim
    if found.in_bounds and lead >= 0:
        strides = [0] * len(shape)
        for i, step in enumerate(dense(values.shape)):
            size = values.shape[i]
            if size != 1 and size != shape[lead + i]:
                break
            strides[lead + i] = 0 if size == 1 else step
        else:
            plan = make_plan("write", (aval, values), (aval,), (*window_of(aval.shape, found), strides))
    return remember(writes, (aval, values, key), plan)


cdef ArrayImpl as_update(ShapedArray aval, values):
    """Values as an array of a dtype; None where that would change the dtype of the updated array, or is not simple."""
    cdef ArrayImpl array
    cdef int joined
    kind = type(values)
    if kind is ArrayImpl:
        array = <ArrayImpl> values
        return array if array.aval.code == aval.code else None
    if kind is not float and kind is not int and kind is not bool:
        return None
    array = to_array(values)
    if array.aval.code == aval.code:
        return array
    joined = promote(aval.code * 2 + aval.weak_type, array.aval.code * 2 + array.aval.weak_type)
    return <ArrayImpl> convert(array, aval.code, False) if joined >> 1 == aval.code else None


def overwrite(x, index, values):
    """``x.at[index].set(values)``; None where it is not done here."""
    cdef Plan plan
    cdef ArrayImpl update
    if type(x) is not ArrayImpl or current_trace() is not None or not enabled():
        return None
    key = static_key(index)
    if key is None or numbers[(<ArrayImpl> x).aval.code] < 0:
        return None
    aval = (<ArrayImpl> x).aval
    update = as_update(aval, values)
    if update is None:
        return None
    plan = <Plan> writes.get((aval, update.aval, key))
    if plan is None:
        plan = plan_write(aval, update.aval, index, key)
    return None if plan.operation is NULL else plan.run_one(<ArrayImpl> x, update)


def filled(shape, int value, dtype):
    """An array of a shape filled with a small integer, of float by default; None where it is not made here."""
    cdef Plan plan
    cdef ShapedArray aval
    cdef int code
    if current_trace() is not None or not enabled():
        return None
    if dtype is None:
        code = canonicalize_code(FLOAT64)
    else:
        try:
            code = dtype_code(dtype)
        except (TypeError, ValueError):
            return None
        if dtype is int or dtype is float:
            code = canonicalize_code(code)
        elif canonicalize_code(code) != code:
            return None     # with a warning
    if numbers[code] < 0:
        return None
    if type(shape) is int:
        shape = (shape,)
    elif type(shape) is not tuple:
        return None
    for size in <tuple> shape:
        if type(size) is not int or size < 0:
            return None
    aval = shaped_array(shape, code, False)
    literal = scalar_literal(value, code, False)
    plan = <Plan> fills.get((aval, value))
    if plan is None:
        plan = remember(fills, (aval, value), make_plan(
            "view", (literal.aval,), (aval,), ((0,), aval.shape, [0] * aval.ndim)))
    return None if plan.operation is NULL else plan.run_one(literal, None)

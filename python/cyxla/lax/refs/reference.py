"""`Ref`: what users hold of a mutable array, and the views of its parts."""

from cyxla._core.indices import result_shape, text
from cyxla._engine.array import (
    MutableArray,
    asarray,
    install_operator,
    install_reference_methods,
    is_arraylike,
    is_frozen,
    peek_mutable,
)
from cyxla._transform.references import is_reference
from cyxla.lax.refs import indexing


class _Access:
    """Reading and writing by index, of a reference or of a view of a part of one."""

    __slots__ = ()

    def __getitem__(self, index):
        return get(self, index)

    def __setitem__(self, index, value):
        swap(self, index, value, "assignment to a reference")

    def get(self, idx=()):
        """What the index points at; `ref[idx]`."""
        return get(self, idx)

    def set(self, value, idx=()):
        """Writes a value where the index points at; `ref[idx] = value`."""
        swap(self, idx, value, "set of a reference")

    def swap(self, value, idx=()):
        """Writes a value where the index points at, and returns what was there."""
        return swap(self, idx, value, "swap")

    def addupdate(self, x, idx=()):
        """Adds a value where the index points at."""
        add(self, idx, x)


class _RefType(type(MutableArray)):
    """Makes the references inside of transformed functions, which are tracers, instances of `Ref`."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, MutableArray) or is_reference(instance)


class Ref(_Access, MutableArray, metaclass=_RefType):
    """An array that can be overwritten. Made by `cyxla.new_ref`.

    `ref[...]` reads, `ref[index] = value` writes, `ref.addupdate(value, index)` adds; `ref.at[index]` is a view.
    Indices are integers, slices, integer arrays and `...`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> ref = cyxla.new_ref(jnp.zeros(3))
    >>> ref[1] = 2.0
    >>> ref
    Ref([0., 2., 0.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, *args, **kwargs):
        raise TypeError("Ref is made by cyxla.new_ref, not by calling the class")

    def __repr__(self):
        if is_frozen(self):
            return f"Ref(<frozen>, shape={self.shape}, dtype={self.dtype})"
        return repr(peek_mutable(self)).replace("Array(", "Ref(", 1)

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of a reference to a scalar")
        return self.shape[0]

    def __iter__(self):
        return iter([self[i] for i in range(len(self))])

    @property
    def at(self):
        """Views: `ref.at[index]` is read and written like a reference, to a part of this one."""
        return views(self)

    @property
    def sharding(self):
        return peek_mutable(self).sharding

    @property
    def committed(self):
        return peek_mutable(self).committed

    @property
    def format(self):
        return getattr(peek_mutable(self), "format", None)

    def unsafe_buffer_pointer(self):
        """The address of the memory that holds the content now."""
        return peek_mutable(self).unsafe_buffer_pointer()

    def block_until_ready(self):
        peek_mutable(self).block_until_ready()
        return self

    def __copy__(self):
        return new(get(self, None))

    def __deepcopy__(self, memo):
        return new(get(self, None))

    def __reduce__(self):
        return new, (get(self, None),)


class Views:
    """What `ref.at` is: indexing it gives a view."""

    __slots__ = ("_view",)

    def __init__(self, view):
        self._view = view

    def __getitem__(self, index):
        view = self._view
        level, arrays = indexing.parse(index, view.shape)
        if not level:
            return view
        return View(view.ref, (*view.levels, level), (*view.arrays, *arrays))


def views(ref):
    """What `.at` of a reference, or of a tracer of one, is."""
    return Views(View(ref, (), ()))


class View(_Access):
    """A part of a reference; reading and writing it reads and writes the reference."""

    __slots__ = ("arrays", "levels", "ref")

    def __init__(self, ref, levels, arrays):
        self.ref = ref
        self.levels = levels
        self.arrays = arrays

    @property
    def shape(self):
        return result_shape(self.ref.shape, self.levels, [a.shape for a in self.arrays])

    @property
    def dtype(self):
        return self.ref.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def at(self):
        return Views(self)

    def __repr__(self):
        shapes, names = [a.shape for a in self.arrays], [str(a) for a in self.arrays]
        return f"{self.ref!r}.at{text(self.ref.shape, self.levels, shapes, names)}"


def _resolve(ref, index, api):
    """The reference itself, the levels of an index of it or of a view, and their operands."""
    levels, before = (), ()
    shape = None
    if isinstance(ref, View):
        ref, levels, before, shape = ref.ref, ref.levels, ref.arrays, ref.shape
    elif not is_reference(ref):
        raise ValueError(f"{api} takes a reference, made by new_ref, got {ref!r:.100} of type {type(ref).__name__}")
    level, arrays = indexing.parse(index, ref.shape if shape is None else shape)
    return ref, (*levels, level) if level else levels, [*before, *arrays]


def _checked(ref, index, arrays, value, api):
    """The value to write as an array, of the reference's dtype and of the shape that the index points at."""
    if not is_arraylike(value) or is_reference(value):
        raise TypeError(f"{api} takes an array or a number, got {value!r:.100} of type {type(value).__name__}")
    inner = ref.aval.inner_aval
    array = asarray(value)
    shape = result_shape(ref.shape, index, [a.shape for a in arrays])
    if array.shape != shape:
        raise ValueError(
            f"{api}: the value has shape {array.shape}, and the index points at shape {shape} of a reference of type "
            f"{ref.aval.str_short()}; give it that shape, for example with jnp.broadcast_to"
        )
    if array.dtype != inner.dtype:
        raise ValueError(
            f"{api}: the value has dtype {array.dtype}, and the reference is of type {ref.aval.str_short()}; convert "
            f"it with .astype({str(inner.dtype)!r})"
        )
    return array


def new(value):
    from cyxla.lax.refs.primitives import new_ref_p

    return new_ref_p.bind(value, memory_space=None, kind=None)


def get(ref, index, api="reading a reference"):
    from cyxla.lax.refs.primitives import get_p

    ref, levels, arrays = _resolve(ref, index, api)
    return get_p.bind(ref, *arrays, index=levels)


def swap(ref, index, value, api):
    from cyxla.lax.refs.primitives import swap_p

    ref, levels, arrays = _resolve(ref, index, api)
    return swap_p.bind(ref, _checked(ref, levels, arrays, value, api), *arrays, index=levels)


def add(ref, index, value, api="addupdate"):
    from cyxla.lax.refs.primitives import addupdate_p

    ref, levels, arrays = _resolve(ref, index, api)
    addupdate_p.bind(ref, _checked(ref, levels, arrays, value, api), *arrays, index=levels)


install_reference_methods({"get": Ref.get, "set": Ref.set, "swap": Ref.swap, "addupdate": Ref.addupdate})
install_operator("setitem", lambda ref, index, value: swap(ref, index, value, "assignment to a reference"))

"""Functions under transformations that change their arguments and results, for the interpreters of jaxprs.

@transformation2
def doubled(f, *args):
    return [2 * x for x in f(*args)]

doubled(wrap_init(fun)).call_wrapped(1.0)
"""

import functools
import weakref
from collections.abc import Callable as Callable

from cyxla._engine.config import epoch


class StoreException(Exception):
    """A result on the side was asked for before there was one, or given twice."""


class Store:
    """A place for a result on the side."""

    _EMPTY = object()

    def __init__(self):
        self._val = Store._EMPTY

    def store(self, val):
        if self._val is not Store._EMPTY:
            raise StoreException("the result on the side has been stored already")
        self._val = val

    def reset(self):
        self._val = Store._EMPTY

    @property
    def val(self):
        if not self:
            raise StoreException("the result on the side is known after the function was called, not before")
        return self._val

    def __bool__(self):
        return self._val is not Store._EMPTY


class EqualStore(Store):
    """A place for a result on the side that may be given again if it is the same."""

    def store(self, val):
        if self and self._val != val:
            raise StoreException(f"another result on the side was stored: {val!r:.200} after {self._val!r:.200}")
        self._val = val


class WrappedFun:
    """A function with the transformations around it, outermost first; `call_wrapped` calls it."""

    __slots__ = ("__weakref__", "debug_info", "f", "f_transformed", "in_type", "params", "stores", "transforms")

    def __init__(self, f, f_transformed, transforms, stores, params, in_type, debug_info):
        self.f, self.f_transformed = f, f_transformed
        self.transforms, self.stores, self.params = transforms, stores, params
        self.in_type, self.debug_info = in_type, debug_info

    @property
    def __name__(self):
        return getattr(self.f, "__name__", "<unnamed function>")

    def wrap(self, gen, gen_static_args, out_store):
        """The function under one more transformation, `gen(fun, [store,] *gen_static_args, *args)`."""
        inner, extra = self.f_transformed, () if out_store is None else (out_store,)

        def transformed(*args, **kwargs):
            return gen(inner, *extra, *gen_static_args, *args, **kwargs)

        return WrappedFun(
            self.f,
            transformed,
            ((gen, gen_static_args), *self.transforms),
            (out_store, *self.stores),
            self.params,
            None,
            self.debug_info,
        )

    def call_wrapped(self, *args, **kwargs):
        """Calls the transformed function."""
        return self.f_transformed(*args, **kwargs)

    def populate_stores(self, stores):
        """Takes over the results on the side of another call of the same transformations."""
        for mine, theirs in zip(self.stores, stores, strict=True):
            if mine is not None:
                mine.store(theirs.val)

    def replace_debug_info(self, dbg):
        """The same function, of which messages say something else."""
        return WrappedFun(self.f, self.f_transformed, self.transforms, self.stores, self.params, self.in_type, dbg)

    def with_unknown_names(self):
        """The same function; names of arguments are kept aside of it."""
        return self

    def _key(self):
        return self.f, self.transforms, self.params, self.in_type

    def __hash__(self):
        return hash(self._key())

    def __eq__(self, other):
        return isinstance(other, WrappedFun) and self._key() == other._key()

    def __repr__(self):
        names = [getattr(gen, "__name__", repr(gen)) for gen, _ in self.transforms]
        return f"<{' of '.join([*names, self.__name__])}>"


def wrap_init(f, params=None, *, debug_info=None):
    """A function as a `WrappedFun` without transformations; `params` are keyword arguments to call it with."""
    params = {} if params is None else dict(params)
    called = functools.partial(f, **params) if params else f
    return WrappedFun(f, called, (), (), tuple(sorted(params.items())), None, debug_info)


class _AsFunction:
    """A transformation written as a generator, as one written as a function. Equal for equal generators."""

    __slots__ = ("gen", "has_aux")

    def __init__(self, gen, has_aux):
        self.gen, self.has_aux = gen, has_aux

    @property
    def __name__(self):
        return getattr(self.gen, "__name__", "transformation")

    def __call__(self, fun, *args, **kwargs):
        if self.has_aux:
            store, *args = args
        generator = self.gen(*args, **kwargs)
        inner_args, inner_kwargs = next(generator)
        out = generator.send(fun(*inner_args, **inner_kwargs))
        generator.close()
        if not self.has_aux:
            return out
        out, aux = out
        store.store(aux)
        return out

    def __eq__(self, other):
        return type(other) is _AsFunction and (self.gen, self.has_aux) == (other.gen, other.has_aux)

    def __hash__(self):
        return hash((self.gen, self.has_aux))


def _curried(transform):
    @functools.wraps(transform)
    def curried(gen, *rest, **options):
        if not rest:
            return functools.partial(transform, gen, **options)
        return transform(gen, *rest, **options)

    return curried


@_curried
def transformation(gen, fun, *gen_static_args):
    """Wraps a `WrappedFun` by a generator `gen(*gen_static_args, *args)`.

    It yields the arguments for the function, as `(args, kwargs)`, is sent the function's result, and yields its own.
    With `gen` only, for use as a decorator, the result waits for the others.
    """
    return fun.wrap(_AsFunction(gen, False), gen_static_args, None)


@_curried
def transformation_with_aux(gen, fun, *gen_static_args, use_eq_store=False):
    """As `transformation`; `gen` yields `(result, aux)` last. Returns the function and a thunk of aux."""
    store = EqualStore() if use_eq_store else Store()
    return fun.wrap(_AsFunction(gen, True), gen_static_args, store), lambda: store.val


@_curried
def transformation2(gen, fun, *gen_static_args):
    """Wraps a `WrappedFun` by a function `gen(fun, *gen_static_args, *args)`."""
    return fun.wrap(gen, gen_static_args, None)


@_curried
def transformation_with_aux2(gen, fun, *gen_static_args, use_eq_store=False, unk_names=False):
    """As `transformation2`, with `gen(fun, store, *gen_static_args, *args)`, which calls `store.store(aux)`.

    Returns the function and a thunk of aux.
    """
    store = EqualStore() if use_eq_store else Store()
    return fun.wrap(gen, gen_static_args, store), lambda: store.val


def merge_linear_aux(aux1, aux2):
    """`(True, value)` of the first thunk or `(False, value)` of the second, whichever has one."""
    try:
        out1 = aux1()
    except StoreException:
        try:
            return False, aux2()
        except StoreException:
            raise StoreException("neither of the results on the side is known") from None
    try:
        aux2()
    except StoreException:
        return True, out1
    raise StoreException("both results on the side are known")


def cache(call, *, explain=None):
    """A function of a `WrappedFun` and other hashable arguments that remembers results while the function lives.

    Results on the side are remembered with them.
    """
    by_function = weakref.WeakKeyDictionary()

    @functools.wraps(call)
    def cached(fun, *args):
        try:
            table = by_function.setdefault(fun.f, {})
        except TypeError:
            return call(fun, *args)
        key = (fun.transforms, fun.params, fun.in_type, args, epoch())
        if key in table:
            result, stored = table[key]
            for store, value in zip(fun.stores, stored):
                if store is not None:
                    store.reset()
                    store.store(value)
            return result
        result = call(fun, *args)
        if explain is not None:
            explain(fun, not table, table, key)
        table[key] = result, [store.val if store else None for store in fun.stores]
        return result

    cached.cache_clear = by_function.clear
    cached.evict_function = lambda f: by_function.pop(f, None)
    return cached

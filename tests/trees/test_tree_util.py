"""tree_util: registration, keys, mapping, prefixes; what is not covered by random trees."""

import collections
import copy
import dataclasses
import doctest
import functools
import inspect
import operator
import pickle

import jax.tree_util as jtu
import numpy as np
import pytest

import cyxla.tree_util as tu

Point = collections.namedtuple("Point", "x y")
KEYS = [tu.DictKey("a"), tu.SequenceKey(1), tu.GetAttrKey("x"), tu.FlattenedIndexKey(3)]
JAX_KEYS = [jtu.DictKey("a"), jtu.SequenceKey(1), jtu.GetAttrKey("x"), jtu.FlattenedIndexKey(3)]


def same_error(function, *args):
    """Both libraries raise the same type; returns our error."""
    with pytest.raises(Exception) as theirs:
        function(jtu, *args)
    with pytest.raises(theirs.type) as ours:
        function(tu, *args)
    assert ours.type is theirs.type
    return str(ours.value)


def register(library, flatten, with_keys=None):
    class Node:
        pass

    library.register_pytree_node(Node, flatten, lambda data, children: (data, children), with_keys)
    return Node()


# Names and documentation


def test_has_every_public_name_of_jax():
    assert {name for name in dir(jtu) if not name.startswith("_")} <= {*tu.__all__}
    assert all(hasattr(tu, name) for name in tu.__all__)


@pytest.mark.parametrize("name", [n for n in dir(jtu) if inspect.isfunction(getattr(jtu, n)) and n != "Partial"])
def test_signature(name):
    def parameters(function):
        return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]

    assert parameters(getattr(tu, name)) == parameters(getattr(jtu, name))


@pytest.mark.parametrize("name", [n for n in tu.__all__ if inspect.getdoc(getattr(tu, n))])
def test_examples(name):
    examples = doctest.DocTestParser().get_doctest(getattr(tu, name).__doc__ or "", vars(tu).copy(), name, None, 0)
    assert doctest.DocTestRunner().run(examples).failed == 0


# Keys


@pytest.mark.parametrize("key, expected", list(zip(KEYS, JAX_KEYS)))
def test_key(key, expected):
    (field,) = type(key).__match_args__
    assert (str(key), repr(key), type(key).__match_args__) == (
        str(expected),
        repr(expected),
        type(expected).__match_args__,
    )
    value = getattr(key, field)
    assert value == getattr(expected, field)
    assert key == type(key)(**{field: value}) and hash(key) == hash(type(key)(value))
    assert key != value and key != expected
    assert pickle.loads(pickle.dumps(key)) == key and copy.deepcopy(key) == key
    with pytest.raises(AttributeError):
        setattr(key, field, value)


def test_keys_of_different_kinds_differ():
    assert len({*KEYS, tu.DictKey(3), tu.SequenceKey(3)}) == 6
    assert tu.DictKey(3) != tu.FlattenedIndexKey(3)


@pytest.mark.parametrize("name, value", [("SequenceKey", "a"), ("GetAttrKey", 3), ("FlattenedIndexKey", None)])
def test_key_of_wrong_type(name, value):
    same_error(lambda library: getattr(library, name)(value))


@pytest.mark.parametrize("options", [{}, {"simple": True}, {"separator": "/"}, {"simple": True, "separator": "/"}])
def test_keystr(options):
    assert tu.keystr((*KEYS, "s", 5), **options) == jtu.keystr((*JAX_KEYS, "s", 5), **options)
    assert tu.keystr((), **options) == ""


# Registration


@pytest.mark.parametrize(
    "result",
    [3, (1, 2, 3), (3, None), [(1,), None], (None, None)],
)
def test_flatten_function_returns_nonsense(result):
    same_error(lambda library: library.tree_leaves(register(library, lambda node: result)))


@pytest.mark.parametrize("result", [3, ((1,), None), ((["k", 1],), None)])
def test_flatten_with_keys_function_returns_nonsense(result):
    same_error(lambda lib: lib.tree_flatten_with_path(register(lib, lambda n: ((1,), None), lambda n: result)))


@pytest.mark.parametrize("children", [iter([1, 2]), {"b": 1, "a": 2}, np.arange(3)])
def test_children_may_be_any_iterable(children):
    expected = [1, 2] if not isinstance(children, (dict, np.ndarray)) else list(children)
    assert tu.tree_leaves(register(tu, lambda node: (children, None))) == expected


def test_errors_of_callbacks_pass_through():
    node = register(tu, lambda node: 1 / 0)
    for function in (tu.tree_leaves, tu.tree_structure, tu.tree_flatten_with_path, tu.flatten_one_level):
        with pytest.raises(ZeroDivisionError):
            function(node)
    with pytest.raises(ZeroDivisionError):
        tu.tree_map(lambda x: 1 / x, {"a": [1, 0], "b": 2})
    with pytest.raises(KeyError):
        tu.tree_leaves([1], is_leaf=lambda x: {}[x] if x == 1 else False)


def test_unflatten_gets_metadata_and_a_tuple():
    assert tu.tree_map(lambda x: x, register(tu, lambda node: ([1, 2], "data"))) == ("data", (1, 2))


@pytest.mark.parametrize("nodetype", [tuple, list, dict, type(None), collections.OrderedDict, tu.Partial])
def test_cannot_register_twice(nodetype):
    with pytest.raises(ValueError, match=r"Duplicate|already"):
        tu.register_pytree_node(nodetype, lambda x: ((), None), lambda data, children: None)


def test_registration_needs_a_class_and_functions():
    with pytest.raises(TypeError):
        tu.register_pytree_node(3, lambda x: ((), None), lambda data, children: None)
    with pytest.raises(TypeError):
        tu.register_pytree_node(int, None, None)
    assert tu.tree_leaves([3]) == [3]


def test_subclasses_are_not_registered():
    class MyList(list):
        pass

    class MyDict(dict):
        pass

    class MyPartial(tu.Partial):
        pass

    class MyPoint(Point):
        pass

    values = [MyList([1]), MyDict(a=1), collections.Counter("aa"), collections.deque([1]), MyPartial(print, 1)]
    assert list(map(operator.is_, tu.tree_leaves(values), values)) == [True] * len(values)
    assert tu.tree_map(lambda x: x + 1, MyPoint(1, 2)) == (2, 3)
    assert type(tu.tree_map(lambda x: x, MyPoint(1, 2))) is MyPoint
    assert tu.tree_structure(MyPoint(1, 2)) != tu.tree_structure(Point(1, 2))


def test_registered_namedtuple_is_a_custom_node():
    Pair = collections.namedtuple("Pair", "data label")
    tu.register_pytree_node(Pair, lambda p: ((p.data,), p.label), lambda label, c: Pair(c[0], label))
    assert tu.tree_leaves(Pair(1, "x")) == [1] and repr(tu.tree_structure(Pair(1, "x"))).endswith("Pair[x], [*]))")


@pytest.mark.parametrize("typ", [tuple, list, dict, type(None), Point, tu.Partial, int, str, object])
def test_is_tree_node(typ):
    expected = jtu.is_tree_node(jtu.Partial if typ is tu.Partial else typ)
    assert tu.is_tree_node(typ) == expected == tu.default_registry.is_node(typ)


def test_node_class_decorators():
    @tu.register_pytree_node_class
    class A:
        def __init__(self, x, y):
            self.x, self.y = x, y

        def tree_flatten(self):
            return (self.x,), self.y

        @classmethod
        def tree_unflatten(cls, y, children):
            return cls(*children, y)

    @tu.register_pytree_with_keys_class
    class B(A):
        def tree_flatten_with_keys(self):
            return ((tu.GetAttrKey("x"), self.x), ("other", self.y)), None

        tree_flatten = None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    B.tree_flatten = A.tree_flatten
    assert tu.tree_leaves(A(1, "m")) == [1] and tu.tree_map(str, A(1, "m")).y == "m"
    paths = [tu.keystr(path) for path, _ in tu.tree_leaves_with_path([A([1], 0), B(2, 3)])]
    assert paths == ["[0][<flat index 0>][0]", "[1].x", "[1]other"]


def test_registered_with_keys_only():
    class Node:
        x, y = 1, [2]

    tu.register_pytree_with_keys(Node, lambda n: ((("x", n.x), ("y", n.y)), "data"), lambda d, c: (d, c))
    assert tu.tree_map(lambda x: -x, Node()) == ("data", (-1, [-2]))
    assert tu.flatten_one_level(Node()) == ((1, [2]), "data")
    assert tu.flatten_one_level_with_keys(Node()) == ([("x", 1), ("y", [2])], "data")


def test_static():
    @tu.register_static
    class Mode:
        def __init__(self, name):
            self.name = name

        def __eq__(self, other):
            return self.name == other.name

        def __hash__(self):
            return hash(self.name)

    mode = Mode("fast")
    leaves, treedef = tu.tree_flatten([mode, 1])
    assert leaves == [1] and tu.tree_unflatten(treedef, [2])[0] is mode
    assert treedef == tu.tree_structure([Mode("fast"), 1]) != tu.tree_structure([Mode("slow"), 1])


# Dataclasses


def fresh_dataclass():
    @dataclasses.dataclass
    class Data:
        x: int
        y: int
        z: int = 3

    return Data


@pytest.mark.parametrize(
    "arguments",
    [
        {"data_fields": ["x"], "meta_fields": ["y"]},
        {"data_fields": ["x", "y", "z", "w"], "meta_fields": []},
        {"data_fields": ["x"]},
        {"meta_fields": ["x"]},
        {"data_fields": ["x", "y"], "meta_fields": ["y", "z"]},
    ],
)
def test_dataclass_with_wrong_fields(arguments):
    message = same_error(lambda library: library.register_dataclass(fresh_dataclass(), **arguments))
    assert "fields" in message


def test_dataclass_with_dropped_fields():
    Data = tu.register_dataclass(fresh_dataclass(), ["x"], ["y"], drop_fields=["z"])
    assert tu.tree_map(lambda x: x + 1, Data(1, 2, 9)) == Data(2, 2, 3)
    with pytest.raises(ValueError, match=r"Duplicate|already"):
        tu.register_dataclass(Data, ["x"], ["y"], drop_fields=["z"])


def test_dataclass_fields_that_init_does_not_take():
    def run(library):
        @dataclasses.dataclass
        class Data:
            x: int
            y: int = dataclasses.field(init=False, default=7)

        library.register_dataclass(Data)

    same_error(run)


def test_plain_class_as_dataclass():
    class Plain:
        def __init__(self, *, y, x):
            self.x, self.y = x, y

    with pytest.raises(TypeError):
        tu.register_dataclass(Plain)
    assert tu.register_dataclass(Plain, ["x"], ["y"]) is Plain
    mapped = tu.tree_map(lambda x: x + 1, Plain(x=1, y="m"))
    assert (mapped.x, mapped.y) == (2, "m")
    broken = Plain(x=1, y=2)
    del broken.x
    with pytest.raises(AttributeError):
        tu.tree_leaves(broken)


def test_dataclass_as_decorator_with_arguments():
    @functools.partial(tu.register_dataclass, data_fields=["x", "y"], meta_fields=["z"])
    @dataclasses.dataclass(frozen=True)
    class Data:
        x: int
        y: int
        z: str

    treedef = tu.tree_structure(Data(1, [2], "m"))
    assert treedef.node_data() == (Data, ("m",))
    assert treedef.flatten_up_to(Data([1], [2], "m")) == [[1], 2]
    with pytest.raises(ValueError, match="data"):
        treedef.flatten_up_to(Data(1, [2], "other"))


# Leaves


@pytest.mark.parametrize("answer", [1, np.bool_(True), "yes"])
def test_predicate_must_answer_with_a_bool(answer):
    same_error(lambda library: library.tree_leaves([1], is_leaf=lambda x: answer))


def test_predicate_sees_every_node_in_order():
    def run(library):
        seen = []
        library.tree_leaves({"b": (2,), "a": [1, None]}, is_leaf=lambda x: seen.append(x))
        return seen

    assert run(tu) == run(jtu)
    with pytest.raises(TypeError):
        tu.tree_leaves([1], is_leaf=3)


def test_none_is_a_node_unless_it_is_called_a_leaf():
    assert tu.tree_leaves([None, 1]) == [1]
    assert tu.tree_leaves([None, 1], is_leaf=lambda x: x is None) == [None, 1]
    assert tu.tree_map(lambda x, y: y, [None, 1], [2, 3], is_leaf=lambda x: x is None) == [2, 3]
    with pytest.raises(ValueError, match="None"):
        tu.tree_structure([None, 1]).flatten_up_to([2, 3])


@pytest.mark.parametrize("keys", [[1, "a"], [(1,), 2], [None, "a"], [1j, 2j]])
def test_unsortable_keys(keys):
    tree = dict.fromkeys(keys, 0)
    for function in ("tree_leaves", "tree_structure", "tree_flatten_with_path"):
        message = same_error(lambda library, function=function: getattr(library, function)(tree))
        assert "sort" in message


@pytest.mark.parametrize("n", [2, 15, 16, 17, 100])
@pytest.mark.parametrize("prefix", ["", "é", "layer_"])
def test_order_of_keys(n, prefix):
    tree = {f"{prefix}{i * 7919 % 101}": i for i in range(n)}
    assert tu.tree_leaves(tree) == [tree[key] for key in sorted(tree)]
    assert list(tu.tree_map(lambda x: x, tree)) == sorted(tree)


def test_large_trees():
    tree = {"a": list(range(1000)), "b": [{"c": i} for i in range(300)]}
    leaves, treedef = tu.tree_flatten(tree)
    assert leaves == [*range(1000), *range(300)] and treedef.unflatten(leaves) == tree
    assert tu.tree_structure(copy.deepcopy(tree)) is treedef


def test_all_leaves():
    for items in ([1, 2], [1, [2]], [], [None], iter([1, 2])):
        items = list(items)
        assert tu.all_leaves(items) == jtu.all_leaves(items)
    assert tu.all_leaves([None], is_leaf=lambda x: x is None)
    assert tu.all_leaves([np.arange(3), np.arange(3)])
    with pytest.raises(TypeError):
        tu.all_leaves(3)


def test_one_level_of_a_leaf():
    same_error(lambda library: library.flatten_one_level(3))
    same_error(lambda library: library.flatten_one_level_with_keys(3))
    assert tu.default_registry.flatten_one_level(3) is None
    assert tu.default_registry.flatten_one_level_with_keys(3) is None


# Mapping and prefixes


MISMATCHES = [
    ((1, 2), (1, 2, 3), "is a tuple of 2 items", ""),
    ((1, 2), [1, 2], "is a tuple,", ""),
    ({"a": 1}, {"b": 1}, "is a dict with metadata", ""),
    ({"a": 1}, {"a": 1, "b": 2}, "is a dict of the children a,", ""),
    ({"a": [1, (2, 3)]}, {"a": [1, (2, 3, 4)]}, "is a tuple of 2 items", "['a'][1]"),
    ({"a": Point(1, None)}, {"a": Point(1, 2)}, "is a NoneType", "['a'].y"),
    (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=1, a=2), "is a OrderedDict with metadata", ""),
]


@pytest.mark.parametrize("one, other, what, path", MISMATCHES)
def test_mismatch_names_the_path(one, other, what, path):
    def function(*leaves):
        return leaves

    for name, call in {
        "tree_map tree": lambda: tu.tree_map(function, one, other),
        "tree_map_with_path tree": lambda: tu.tree_map_with_path(function, one, other),
        "broadcast_prefix prefix_tree": lambda: tu.tree_broadcast(one, other),
    }.items():
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value).startswith(f"{name}{path} {what}")
    (error,) = tu.prefix_errors(one, other)
    assert str(error("my argument")).startswith(f"my argument{path} ")
    with pytest.raises(ValueError):
        tu.tree_structure(one).flatten_up_to(other)


def test_prefix_errors_lists_every_mismatch():
    errors = tu.prefix_errors({"a": (1,), "b": 1, "c": [1]}, {"a": [1], "b": (), "c": [1, 2]})
    assert [str(error("x")).split()[0] for error in errors] == ["x['a']", "x['c']"]
    assert tu.prefix_errors((None, 1), (2, 3), is_leaf=lambda x: x is None) == []


def test_map_does_not_accept_wrong_calls():
    with pytest.raises(TypeError):
        tu.tree_map(None, [1])
    with pytest.raises(TypeError):
        tu.tree_map(lambda x: x)
    assert tu.tree_map(None, [None]) == [None]


def test_dict_keys_that_are_equal_match():
    assert tu.tree_map(lambda x, y: (x, y), {1: "a"}, {True: "b"}) == {1: ("a", "b")}


def test_broadcast():
    prefix, full = {"a": 1, "b": (2, 3)}, {"a": [1, 2], "b": (4, {"c": 5, "d": None})}
    assert tu.tree_broadcast(prefix, full) == jtu.tree_broadcast(prefix, full)
    assert tu.broadcast_prefix(prefix, full) == [1, 1, 2, 3]
    stop = lambda x: x is None
    assert tu.tree_broadcast([1, None], [[1, 2], [3, 4]], stop) == jtu.tree_broadcast([1, None], [[1, 2], [3, 4]], stop)


def test_transpose_by_the_first_subtree():
    outer = tu.tree_structure([0, 0])
    assert tu.tree_transpose(outer, None, [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    with pytest.raises(TypeError):
        tu.tree_transpose(outer, None, [(1, 2), (3,)])
    with pytest.raises(TypeError):
        tu.tree_transpose(outer, tu.tree_structure((0, 0)), [(1, 2, 3), (4, 5, 6)])


def test_reductions_of_nothing():
    same_error(lambda library: library.tree_reduce(operator.add, []))
    same_error(lambda library: library.tree_reduce_associative(operator.add, []))
    assert tu.tree_reduce_associative(operator.add, [], identity=5) == 5
    assert tu.tree_reduce(operator.add, [], None) is None


@pytest.mark.parametrize("n", range(1, 10))
def test_associative_reduction_has_the_order_of_jax(n):
    pair = lambda x, y: (x, y)
    tree = list(map(str, range(n)))
    assert tu.tree_reduce_associative(pair, tree) == jtu.tree_reduce_associative(pair, tree)


def test_equality_errors():
    assert list(tu.equality_errors([1, {"a": 2}], [3, {"a": 4}])) == []
    ((path, one, other, why),) = tu.equality_errors([1, {"a": 2}], [3, {"a": (4,)}])
    assert tu.keystr(path) == "[1]['a']" and "leaf" in one and "tuple" in other and why


# Partial


def test_partial():
    def function(*args, **kwargs):
        return args, kwargs

    partial = tu.Partial(function, 1, b=2)
    assert partial(3, c=4) == ((1, 3), {"b": 2, "c": 4})
    assert isinstance(partial, functools.partial) and partial.func is function
    mapped = tu.tree_map(lambda x: x + 1, partial)
    assert type(mapped) is tu.Partial and mapped() == ((2,), {"b": 3})
    assert tu.tree_structure(partial) is tu.tree_structure(tu.Partial(function, 5, b=6))
    assert tu.tree_structure(partial) != tu.tree_structure(tu.Partial(print, 5, b=6))
    assert pickle.loads(pickle.dumps(tu.Partial(print, 1))).args == (1,)


def test_partial_does_not_merge():
    inner = functools.partial(max, 1)
    outer = tu.Partial(inner, 2)
    assert outer.args == (2,) and outer(0) == 2 and tu.tree_leaves(outer) == [2]
    assert tu.tree_structure(outer) == tu.tree_structure(tu.Partial(inner, 3))
    assert tu.tree_structure(outer) != tu.tree_structure(tu.Partial(functools.partial(max, 1), 2))
    assert tu.tree_leaves(tu.Partial(tu.Partial(max, 1), 2)) == [2]


@pytest.mark.parametrize("arguments", [(), (3,)])
def test_partial_of_nothing(arguments):
    same_error(lambda library: library.Partial(*arguments))

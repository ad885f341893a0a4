"""Tree definitions: interning, equality, metadata, pickling, threads, limits."""

import collections
import gc
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest

import cyxla.tree_util as tu
from cyxla._engine import pytree as engine

Point = collections.namedtuple("Point", "x y")


class Tagged:
    """A node whose metadata is anything."""

    def __init__(self, tag):
        self.tag = tag


tu.register_pytree_node(Tagged, lambda t: ((0,), t.tag), lambda tag, children: Tagged(tag))


class Loose:
    """Equal to every instance with the same number, and not hashable."""

    __hash__ = None

    def __init__(self, number, extra=None):
        self.number, self.extra = number, extra

    def __eq__(self, other):
        return isinstance(other, Loose) and self.number == other.number


def structure_of_tag(tag):
    return tu.tree_structure(Tagged(tag))


@pytest.mark.parametrize(
    "tag", [None, "text" * 50, 12345678901234567890, b"bytes", 1.5, float("nan"), ("a", (1, 2.5)), int, len]
)
def test_equal_metadata_make_one_object(tag):
    copied = pickle.loads(pickle.dumps(tag))
    assert structure_of_tag(tag) is structure_of_tag(copied)


def test_keys_need_not_be_interned_strings():
    one, other = "".join(["some", " key"]), "".join(["some", " key"])
    assert one is not other
    assert tu.tree_structure({one: 1}) is tu.tree_structure({other: 1})


@pytest.mark.parametrize("a, b", [(1, True), (1, 1.0), (0.0, -0.0), ((1,), (True,))])
def test_equal_metadata_that_can_be_told_apart_are_kept(a, b):
    first, second = structure_of_tag(a), structure_of_tag(b)
    assert first is not second and first == second and hash(first) == hash(second)
    assert repr(first.unflatten([0]).tag) == repr(a)
    assert repr(second.unflatten([0]).tag) == repr(b)
    assert list(tu.tree_map(str, {True: 1})) == [True] and list(tu.tree_map(str, {1: 1})) == [1]


def test_metadata_with_its_own_equality():
    a, b, c = Loose(1, "a"), Loose(1, "b"), Loose(2)
    assert structure_of_tag(a) == structure_of_tag(b) != structure_of_tag(c)
    assert hash(structure_of_tag(a)) == hash(structure_of_tag(b))
    assert structure_of_tag(a).unflatten([0]).tag is a
    assert structure_of_tag(b).unflatten([0]).tag is b
    assert len({structure_of_tag(a), structure_of_tag(b), structure_of_tag(c)}) == 2


def test_metadata_that_cannot_be_compared():
    a, b = structure_of_tag(np.arange(2)), structure_of_tag(np.arange(2))
    assert a == a
    with pytest.raises(ValueError, match="metadata"):
        _ = a == b


def test_treedefs_die_with_their_last_user():
    before = engine.interned_count()
    treedefs = [tu.tree_structure({f"unusual {i}": [1] * i}) for i in range(3000)]
    assert engine.interned_count() == before + 3000
    assert all(tu.tree_structure({f"unusual {i}": [1] * i}) is t for i, t in enumerate(treedefs))
    del treedefs[1::2]
    assert engine.interned_count() == before + 1500
    assert all(tu.tree_structure({f"unusual {2 * i}": [1] * 2 * i}) is t for i, t in enumerate(treedefs))
    del treedefs
    assert engine.interned_count() == before


def test_cycle_through_metadata_is_collected():
    class Node:
        pass

    owner = Node()
    owner.treedef = structure_of_tag(owner)
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None


def test_treedefs_are_immutable_and_have_no_constructor():
    with pytest.raises(TypeError):
        tu.PyTreeDef()
    with pytest.raises(AttributeError):
        tu.tree_structure([1]).num_leaves = 3
    with pytest.raises(AttributeError):
        tu.tree_structure([1]).other = 3
    assert tu.tree_structure([1]) != 3


def test_unpickling_needs_the_registration():
    class Gone:
        pass

    nodes = [(9, 0, Gone, (None,))]
    with pytest.raises(ValueError, match="not registered"):
        engine._rebuild_treedef(nodes)


@pytest.mark.parametrize("function", [tu.tree_leaves, tu.tree_structure, tu.tree_flatten_with_path])
def test_deep_trees_raise_recursion_error(function):
    tree = 0
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(RecursionError):
        function(tree)
    with pytest.raises(RecursionError):
        tu.tree_leaves(tree, is_leaf=lambda x: False)


def test_deep_treedefs_raise_recursion_error():
    treedef = tu.tree_structure([0])
    for _ in range(17):
        treedef = treedef.compose(treedef)
    for use in (repr, lambda t: t.unflatten([0]), lambda t: t.walk(lambda *a: a, lambda x: x, [0])):
        with pytest.raises(RecursionError):
            use(treedef)
    assert pickle.loads(pickle.dumps(treedef)) is treedef
    assert treedef.children()[0].num_nodes == treedef.num_nodes - 1


def test_many_threads():
    errors = []
    interval = sys.getswitchinterval()

    def work(seed):
        try:
            for i in range(400):
                tree = {f"k{j}": Point([seed], Tagged(("t", i, j))) for j in range(3)}
                leaves, treedef = tu.tree_flatten(tree)
                assert tu.tree_structure(tu.tree_unflatten(treedef, leaves)) is treedef
                assert tu.tree_leaves(tu.tree_map(lambda x: x + 1, tree)) == [seed + 1, 0] * 3
        except BaseException as error:
            errors.append(error)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


class Vandal:
    """Empties its container while it is flattened."""

    def __init__(self, target):
        self.target = target

    def destroy(self):
        self.target.clear()
        gc.collect()
        return (), None


tu.register_pytree_node(Vandal, Vandal.destroy, lambda _, children: None)


@pytest.mark.parametrize("keys", [[0, 1, 2], ["a", "b", "c"], ["a", "c", "b"], [-3, -2, -1]])
def test_tree_that_changes_while_it_is_flattened(keys):
    tree = [None] * 3 if keys[0] == 0 else {}
    for key in keys:
        tree[key] = object()
    tree[keys[0]] = Vandal(tree)
    if keys == ["a", "c", "b"]:  # what was there when the sorting was done
        assert len(tu.tree_leaves(tree)) == 2
    else:
        with pytest.raises((RuntimeError, KeyError)):
            tu.tree_leaves(tree)


def test_wrong_number_of_leaves():
    treedef = tu.tree_structure({"a": 1, "b": (2, 3)})
    with pytest.raises(ValueError, match=r"3\b.*\b2\b"):
        treedef.unflatten([1, 2])
    with pytest.raises(ValueError, match=r"\b3\b"):
        treedef.unflatten([1, 2, 3, 4])
    with pytest.raises(TypeError):
        treedef.unflatten(3)
    for leaves, message in (([1], "few"), ([1] * 4, "many")):
        with pytest.raises(ValueError, match=message):
            treedef.walk(lambda *node: node, lambda leaf: leaf, leaves)


@pytest.mark.parametrize(
    "node_data, n, error",
    [
        (None, 1, RuntimeError),
        ((dict, ["a"]), 2, RuntimeError),
        ((int, None), 1, RuntimeError),
        ((collections.OrderedDict, ("a", "b")), 1, RuntimeError),
    ],
)
def test_node_data_that_does_not_fit(node_data, n, error):
    with pytest.raises(error):
        tu.PyTreeDef.from_node_data_and_children(tu.default_registry, node_data, [tu.tree_structure(0)] * n)


def test_children_must_be_treedefs():
    with pytest.raises(TypeError):
        tu.treedef_tuple([3])
    with pytest.raises(TypeError):
        tu.tree_structure([1]).compose(3)


def test_from_iterable_tree():
    treedef = tu.tree_structure({"a": 1, "b": [2, 3], "c": None})
    assert treedef.from_iterable_tree([1, iter([2, 3]), ()]) == {"a": 1, "b": [2, 3], "c": None}
    with pytest.raises(ValueError, match=r"Arity|a node of 2 children"):
        treedef.from_iterable_tree([1, [2], ()])


@pytest.mark.parametrize("data", [b"zzz", b"\n", b"\n\x02\x10\x09", b"\n\x04\x08\x05\x10\x04"])
def test_broken_proto(data):
    with pytest.raises(RuntimeError):
        tu.PyTreeDef.deserialize_using_proto(tu.default_registry, data)

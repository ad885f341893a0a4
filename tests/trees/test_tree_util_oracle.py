"""Random trees, compared with jax."""

import copy
import pickle

import jax
import jax.tree_util as jtu
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_strategies import trees

import cyxla.tree_util as tu

quick = settings(max_examples=100, deadline=None)


def outcome(function, *args):
    """The result, or the type of the exception."""
    try:
        return function(*args)
    except Exception as error:
        return type(error)


def printed_paths(library, pairs):
    return [(library.keystr(path), [str(key) for key in path], leaf) for path, leaf in pairs]


@quick
@given(trees)
def test_flatten(tree):
    leaves, treedef = tu.tree_flatten(tree)
    expected_leaves, expected = jtu.tree_flatten(tree)
    assert leaves == expected_leaves and list(map(type, leaves)) == list(map(type, expected_leaves))
    assert repr(treedef) == repr(expected)
    assert (treedef.num_leaves, treedef.num_nodes) == (expected.num_leaves, expected.num_nodes)
    assert treedef.node_data() == expected.node_data()
    assert list(map(repr, treedef.children())) == list(map(repr, expected.children()))
    assert tu.tree_leaves(tree) == leaves
    assert tu.tree_structure(tree) is treedef
    assert tu.treedef_is_leaf(treedef) == jtu.treedef_is_leaf(expected)


@quick
@given(trees)
def test_round_trip(tree):
    leaves, treedef = tu.tree_flatten(tree)
    rebuilt = treedef.unflatten(iter(leaves))
    assert rebuilt == tree and repr(rebuilt) == repr(jtu.tree_unflatten(jtu.tree_structure(tree), leaves))
    assert tu.tree_structure(rebuilt) is treedef
    assert tu.tree_map(lambda x: (x,), tree) == jtu.tree_map(lambda x: (x,), tree)
    assert tu.tree_map(lambda x, y, z: [x, y, z], tree, tree, tree) == jtu.tree_map(
        lambda x, y, z: [x, y, z], tree, tree, tree
    )


@quick
@given(trees)
def test_pickle_and_copy_give_the_same_object(tree):
    treedef = tu.tree_structure(tree)
    assert pickle.loads(pickle.dumps(treedef)) is treedef
    assert copy.copy(treedef) is treedef
    assert copy.deepcopy(treedef) is treedef


@quick
@given(trees)
def test_paths(tree):
    pairs, treedef = tu.tree_flatten_with_path(tree)
    expected_pairs, expected = jtu.tree_flatten_with_path(tree)
    assert printed_paths(tu, pairs) == printed_paths(jtu, expected_pairs)
    assert repr(treedef) == repr(expected) and treedef is tu.tree_structure(tree)
    simple = [tu.keystr(path, simple=True, separator="/") for path, _ in pairs]
    assert simple == [jtu.keystr(path, simple=True, separator="/") for path, _ in expected_pairs]
    assert tu.tree_map_with_path(lambda p, x: (tu.keystr(p), x), tree) == jtu.tree_map_with_path(
        lambda p, x: (jtu.keystr(p), x), tree
    )


@quick
@given(trees, st.sampled_from([tuple, list, dict, type(None), int]))
def test_is_leaf(tree, stop):
    def is_leaf(x):
        return type(x) is stop

    leaves, treedef = tu.tree_flatten(tree, is_leaf)
    expected_leaves, expected = jtu.tree_flatten(tree, is_leaf)
    assert leaves == expected_leaves and repr(treedef) == repr(expected)
    pairs, with_path = tu.tree_flatten_with_path(tree, is_leaf)
    assert [x for _, x in pairs] == leaves and with_path is treedef
    assert tu.tree_map(str, tree, is_leaf=is_leaf) == jtu.tree_map(str, tree, is_leaf=is_leaf)
    shallow = tu.tree_flatten_with_path(tree, lambda path, x: len(path) == 1, is_leaf_takes_path=True)
    expected = jtu.tree_flatten_with_path(tree, lambda path, x: len(path) == 1, is_leaf_takes_path=True)
    assert printed_paths(tu, shallow[0]) == printed_paths(jtu, expected[0])


@quick
@given(trees, trees)
def test_two_trees(one, other):
    a, b = tu.tree_structure(one), tu.tree_structure(other)
    ja, jb = jtu.tree_structure(one), jtu.tree_structure(other)
    assert (a == b) == (ja == jb) and (a != b) == (ja != jb)
    if a == b:
        assert hash(a) == hash(b)
    assert outcome(a.flatten_up_to, other) == outcome(ja.flatten_up_to, other)
    assert repr(a.compose(b)) == repr(ja.compose(jb))
    pair = tu.treedef_tuple([a, b])
    assert pair is tu.tree_structure((one, other)) and pair.children() == [a, b]

    def pairs(x, y):
        return x, y

    assert outcome(tu.tree_map, pairs, one, other) == outcome(jtu.tree_map, pairs, one, other)
    assert outcome(tu.tree_broadcast, one, other) == outcome(jtu.tree_broadcast, one, other)
    transposed = outcome(tu.tree_transpose, a, b, a.unflatten([other] * a.num_leaves))
    assert transposed == outcome(jtu.tree_transpose, ja, jb, ja.unflatten([other] * ja.num_leaves))


@quick
@given(trees, trees)
def test_prefix_errors_are_where_flatten_up_to_fails(one, other):
    errors = tu.prefix_errors(one, other)
    fails = outcome(tu.tree_structure(one).flatten_up_to, other) is ValueError
    assert bool(errors) == fails
    if errors:
        with pytest.raises(ValueError) as expected:
            jtu.tree_map(lambda x, y: x, one, other)
        if "Point" not in repr(one):  # jax names every field of a namedtuple after the first
            where = str(expected.value).split("\n")[1].strip()
            assert str(errors[0]("tree_map tree")).startswith(f"{where} ")


@quick
@given(trees)
def test_inverse_of_node_data_and_children(tree):
    treedef = tu.tree_structure(tree)
    rebuilt = tu.PyTreeDef.from_node_data_and_children(tu.default_registry, treedef.node_data(), treedef.children())
    assert rebuilt is treedef


@quick
@given(trees)
def test_walk(tree):
    def run(library):
        leaves, treedef = library.tree_flatten(tree)
        return treedef.walk(lambda children, data: (children, data), lambda x: [x], leaves)

    assert run(tu) == run(jtu)


@quick
@given(trees)
def test_proto(tree):
    treedef, expected = tu.tree_structure(tree), jtu.tree_structure(tree)
    data = outcome(treedef.serialize_using_proto)
    assert data == outcome(expected.serialize_using_proto)
    if data is not ValueError:
        assert tu.PyTreeDef.deserialize_using_proto(tu.default_registry, data) is treedef


@quick
@given(trees)
def test_one_level(tree):
    ours, theirs = outcome(tu.flatten_one_level, tree), outcome(jtu.flatten_one_level, tree)
    if ours is ValueError:
        assert theirs is ValueError
    else:
        assert list(ours[0]) == list(theirs[0]) and ours[1] == theirs[1]
        keyed, data = tu.flatten_one_level_with_keys(tree)
        assert [child for _, child in keyed] == list(ours[0]) and data == ours[1]


@quick
@given(trees)
def test_folds(tree):
    def join(x, y):
        return f"({x}{y})"

    for name in ("tree_reduce", "tree_reduce_associative"):
        assert outcome(getattr(tu, name), join, tree) == outcome(getattr(jtu, name), join, tree)
    assert tu.tree_reduce(join, tree, None) == jtu.tree_reduce(join, tree, None)
    assert tu.tree_all(tree) == jtu.tree_all(tree)
    assert tu.all_leaves([tree, 1]) == jtu.all_leaves([tree, 1])


def test_jax_treedefs_and_ours_are_different_things():
    assert tu.tree_structure([1]) != jax.tree.structure([1])

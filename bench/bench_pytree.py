"""Flattening, unflattening and mapping, beside jax."""

import jax.tree_util
import pytest

import cyxla.tree_util

IMPLEMENTATIONS = {"cyxla": cyxla.tree_util, "jax": jax.tree_util}

TREES = {
    "5 leaves": {"a": 1.0, "b": {"c": 2.0, "d": 3.0}, "e": [4.0, 5.0]},
    "100 leaves": {f"layer_{i}": {"w": 1.0, "b": 2.0} for i in range(50)},
}


@pytest.mark.parametrize("impl", ("cyxla", "jax"))
@pytest.mark.parametrize("size", TREES)
def test_tree_flatten(benchmark, impl, size):
    benchmark.group = f"tree_flatten, {size}"
    tree_util = IMPLEMENTATIONS[impl]
    benchmark(tree_util.tree_flatten, TREES[size])


@pytest.mark.parametrize("impl", ("cyxla", "jax"))
@pytest.mark.parametrize("size", TREES)
def test_tree_unflatten(benchmark, impl, size):
    benchmark.group = f"tree_unflatten, {size}"
    tree_util = IMPLEMENTATIONS[impl]
    leaves, treedef = tree_util.tree_flatten(TREES[size])
    benchmark(tree_util.tree_unflatten, treedef, leaves)


@pytest.mark.parametrize("impl", ("cyxla", "jax"))
@pytest.mark.parametrize("size", TREES)
def test_tree_map(benchmark, impl, size):
    benchmark.group = f"tree_map, {size}"
    tree_util = IMPLEMENTATIONS[impl]
    benchmark(tree_util.tree_map, lambda x: x, TREES[size])


@pytest.mark.parametrize("impl", ("cyxla", "jax"))
@pytest.mark.parametrize("size", TREES)
def test_tree_map_of_two_trees(benchmark, impl, size):
    benchmark.group = f"tree_map of two trees, {size}"
    tree_util = IMPLEMENTATIONS[impl]
    benchmark(tree_util.tree_map, lambda x, y: x, TREES[size], TREES[size])

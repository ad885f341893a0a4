"""cyxla.tree: short names for the functions of tree_util."""

import dataclasses

import jax
import pytest

import cyxla.tree
import cyxla.tree_util


@pytest.mark.parametrize("name", [name for name in cyxla.tree.__all__ if name != "static"])
def test_is_the_function_of_tree_util(name):
    assert getattr(cyxla.tree, name) is getattr(cyxla.tree_util, f"tree_{name}")


def test_has_every_public_name_of_jax():
    assert {name for name in dir(jax.tree) if not name.startswith("_")} <= {*cyxla.tree.__all__}


def test_static_field_is_metadata():
    @cyxla.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        weight: float
        name: str = cyxla.tree.static(default="x", metadata={"unit": "m"})

    leaves, treedef = cyxla.tree.flatten(Layer(1.0, "first"))
    assert leaves == [1.0] and treedef.node_data() == (Layer, ("first",))
    assert dict(dataclasses.fields(Layer)[1].metadata) == {"static": True, "unit": "m"}
    assert cyxla.tree.map(lambda x: x + 1, Layer(1.0, "first")) == Layer(2.0, "first")


def test_static_can_be_overridden():
    assert (
        cyxla.tree.static(metadata={"static": False}).metadata == jax.tree.static(metadata={"static": False}).metadata
    )

"""Node types registered with both libraries, and hypothesis strategies of trees made of them."""

import collections
import dataclasses

import jax
from hypothesis import strategies as st

import cyxla.tree_util

Point = collections.namedtuple("Point", "x y")


class Box:
    """Registered without keys."""

    def __init__(self, items, label):
        self.items, self.label = items, label

    def __eq__(self, other):
        return type(other) is Box and (self.items, self.label) == (other.items, other.label)

    def __repr__(self):
        return f"Box({self.items}, {self.label})"


class Named:
    """Registered with keys."""

    def __init__(self, left, right):
        self.left, self.right = left, right

    def __eq__(self, other):
        return type(other) is Named and (self.left, self.right) == (other.left, other.right)

    def __repr__(self):
        return f"Named({self.left}, {self.right})"


@dataclasses.dataclass
class Layer:
    weight: object
    bias: object
    name: str = dataclasses.field(default="", metadata={"static": True})


for library in (jax, cyxla):
    tu = library.tree_util
    tu.register_pytree_node(Box, lambda b: (tuple(b.items), b.label), lambda label, items: Box(list(items), label))
    tu.register_pytree_with_keys(
        Named,
        # the keys are those of each library, so that paths print the same
        lambda n, tu=tu: (((tu.GetAttrKey("left"), n.left), (tu.GetAttrKey("right"), n.right)), None),
        lambda _, children: Named(*children),
    )
    tu.register_dataclass(Layer)

leaves = st.integers(0, 9) | st.sampled_from(["s", 1.5, True])
str_keys = st.text("abcé0", min_size=1, max_size=3)


def _nodes(children):
    return st.one_of(
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        st.dictionaries(str_keys, children, max_size=4),
        st.dictionaries(st.integers(-3, 3) | st.booleans(), children, max_size=3),
        st.builds(Point, children, children),
        st.dictionaries(str_keys, children, max_size=3).map(collections.OrderedDict),
        st.dictionaries(str_keys, children, max_size=3).map(lambda d: collections.defaultdict(list, d)),
        st.builds(Box, st.lists(children, max_size=2), st.sampled_from(["p", ("q", 1)])),
        st.builds(Named, children, children),
        st.builds(Layer, children, children, st.sampled_from(["l1", "l2"])),
    )


trees = st.recursive(leaves | st.none(), _nodes, max_leaves=12)

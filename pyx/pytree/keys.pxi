# Keys of paths

cdef class DictKey:
    """Path entry of a dict item: ``tree[key]``."""
    cdef readonly object key
    __match_args__ = ("key",)

    def __init__(self, key):
        self.key = key

    def __eq__(self, other):
        return type(self) is type(other) and self.key == (<DictKey>other).key

    def __hash__(self):
        return hash((DictKey, self.key))

    def __repr__(self):
        return f"DictKey(key={self.key!r})"

    def __str__(self):
        return f"[{self.key!r}]"

    def __reduce__(self):
        return type(self), (self.key,)


cdef class SequenceKey:
    """Path entry of a list or tuple item: ``tree[idx]``."""
    cdef readonly Py_ssize_t idx
    __match_args__ = ("idx",)

    def __init__(self, Py_ssize_t idx):
        self.idx = idx

    def __eq__(self, other):
        return type(self) is type(other) and self.idx == (<SequenceKey>other).idx

    def __hash__(self):
        return hash((SequenceKey, self.idx))

    def __repr__(self):
        return f"SequenceKey(idx={self.idx})"

    def __str__(self):
        return f"[{self.idx}]"

    def __reduce__(self):
        return type(self), (self.idx,)


cdef class GetAttrKey:
    """Path entry of an attribute: ``tree.name``."""
    cdef readonly str name
    __match_args__ = ("name",)

    def __init__(self, str name not None):
        self.name = name

    def __eq__(self, other):
        return type(self) is type(other) and self.name == (<GetAttrKey>other).name

    def __hash__(self):
        return hash((GetAttrKey, self.name))

    def __repr__(self):
        return f"GetAttrKey(name={self.name!r})"

    def __str__(self):
        return f".{self.name}"

    def __reduce__(self):
        return type(self), (self.name,)


cdef class FlattenedIndexKey:
    """Path entry of a child of a node that was registered without keys: its position among the children."""
    cdef readonly Py_ssize_t key
    __match_args__ = ("key",)

    def __init__(self, Py_ssize_t key):
        self.key = key

    def __eq__(self, other):
        return type(self) is type(other) and self.key == (<FlattenedIndexKey>other).key

    def __hash__(self):
        return hash((FlattenedIndexKey, self.key))

    def __repr__(self):
        return f"FlattenedIndexKey(key={self.key})"

    def __str__(self):
        return f"[<flat index {self.key}>]"

    def __reduce__(self):
        return type(self), (self.key,)

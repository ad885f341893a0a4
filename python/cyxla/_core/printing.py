"""Jaxprs as text, in jax's notation: `{ lambda ; a:f32[]. let b:f32[] = mul a 2.0:f32[] in (b,) }`."""

import enum

import numpy as np

from cyxla._core.indices import text
from cyxla._engine.aval import AbstractRef
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Literal, Var

WIDTH = 80
MAX_NESTED = 10  # inner jaxprs of more equations are printed apart

# Parameters that say nothing more than the types do, or that have their usual value: not shown.
ALWAYS_HIDDEN = {"broadcast_in_dim": ("shape",), "scan": ("linear",)}
HIDDEN_VALUES = {
    "broadcast_in_dim": {"broadcast_dimensions": (), "sharding": None},
    "convert_element_type": {"sharding": None},
    "dot_general": {"out_sharding": None, "precision": None, "preferred_element_type": None},
    "scan": {"_split_transpose": False},
    "custom_jvp_call": {"num_consts": 0},
    "custom_vjp_call": {"num_consts": 0},
}
FIRST = ("name",)


def letters(number):
    """a, b, ..., z, ba, bb, ..."""
    text = chr(ord("a") + number % 26)
    while number >= 26:
        number = number // 26
        text = chr(ord("a") + number % 26) + text
    return text


class Names:
    """Names of variables, given in the order in which they are met, and of jaxprs that are printed apart."""

    def __init__(self):
        self.variables = {}
        self.jaxprs = {}
        self.taken = set()
        self.count = 0

    def __call__(self, var):
        name = self.variables.get(var)
        if name is None:
            name = letters(self.count)
            self.count += 1
            while name in self.taken:
                name = letters(self.count)
                self.count += 1
            self.variables[var] = name
        return name

    def typed(self, var):
        return f"{self(var)}:{var.aval.str_short(short_dtypes=True)}"

    def of_jaxpr(self, jaxpr, hint):
        base = "".join(c for c in hint if c.isalnum() or c == "_") or "fn"
        name, number = base, 0
        while name in self.taken:
            number += 1
            name = f"{base}{number}"
        self.taken.add(name)
        self.jaxprs[jaxpr] = name


class Printer:
    """Writes jaxprs as lines of at most about WIDTH characters; `indent` is the column where these lines will start."""

    def __init__(self):
        self.names = Names()
        self.depth = 0  # of jaxprs in equations

    # -- atoms and parameters

    def atom(self, atom):
        if type(atom) is not Literal:
            return self.names(atom)
        value = atom.val
        if getattr(value.aval.dtype, "physical_shape", None) is None:
            value = np.asarray(value).item()
        return f"{value}:{atom.aval.str_short(short_dtypes=True)}"

    def value(self, eqn, name, value):
        if name == "dimension_numbers" and eqn.primitive.name == "dot_general":
            (a, b), (c, d) = value
            return f"(({list(a)}, {list(b)}), ({list(c)}, {list(d)}))"
        if isinstance(value, np.dtype):
            return value.name
        if isinstance(value, enum.Enum):
            return str(value)
        if callable(value) and hasattr(value, "__name__"):
            return value.__name__
        return str(value)

    def params(self, eqn):
        """Names and values of the parameters that are shown."""
        hidden = ALWAYS_HIDDEN.get(eqn.primitive.name, ())
        usual = HIDDEN_VALUES.get(eqn.primitive.name, {})
        shown = [
            (name, value)
            for name, value in eqn.params.items()
            if name not in hidden and not (name in usual and value == usual[name])
        ]
        return sorted(shown, key=lambda item: (item[0] not in FIRST, item[0]))

    def param(self, eqn, name, value, indent):
        """The lines of one parameter."""
        if isinstance(value, (ClosedJaxpr, Jaxpr)):
            return self.nested(eqn, plain(value), indent, f"{name}=")
        if isinstance(value, tuple) and value and all(isinstance(v, (Jaxpr, ClosedJaxpr)) for v in value):
            items = [self.nested(eqn, plain(item), indent + 2, "") for item in value]
            line = f"{name}=({' '.join(lines[0] for lines in items)})"
            if all(len(lines) == 1 for lines in items) and indent + len(line) <= WIDTH:
                return [line]
            return [f"{name}=(", *("  " + line for lines in items for line in lines), ")"]
        return [f"{name}={self.value(eqn, name, value)}"]

    def nested(self, eqn, jaxpr, indent, prefix):
        """A jaxpr inside an equation. That of a jit call shares the names of operands and results."""
        if jaxpr in self.names.jaxprs:
            return [prefix + self.names.jaxprs[jaxpr]]
        self.depth += 1
        try:
            return self.inner(eqn, jaxpr, indent, prefix)
        finally:
            self.depth -= 1

    def inner(self, eqn, jaxpr, indent, prefix):
        if eqn.primitive.name != "jit" or len(jaxpr.invars) != len(eqn.invars):
            return self.jaxpr(jaxpr, indent, prefix)
        outer = self.names.variables
        self.names.variables = dict(outer)
        inner = self.names.variables
        for var, atom in zip([*jaxpr.invars, *jaxpr.outvars], [*eqn.invars, *eqn.outvars]):
            shared = type(var) is Var and type(atom) is not Literal and atom in inner and var not in inner
            if shared and inner[atom] not in self.given(jaxpr, inner):
                inner[var] = inner[atom]
        lines = self.jaxpr(jaxpr, indent, prefix)
        self.names.variables = outer
        return lines

    @staticmethod
    def given(jaxpr, variables):
        """The names that inputs of the jaxpr have already."""
        return {variables[v] for v in jaxpr.invars if v in variables}

    # -- equations and jaxprs

    def eqn(self, eqn, used, indent):
        """The lines of one equation."""
        reference = REFERENCE_FORMS.get(eqn.primitive.name)
        if reference is not None and eqn.invars and type(eqn.invars[0].aval) is AbstractRef:
            return [reference(self, eqn, used)]
        for v in eqn.outvars:
            if used is not None and v not in used:
                self.names.variables[v] = "_"
        *left, head = fill("", [self.names.typed(v) for v in eqn.outvars], "  ", indent)
        head += f" = {eqn.primitive.name}" if head else eqn.primitive.name
        operands = [self.atom(a) for a in eqn.invars]
        params = [self.param(eqn, name, value, indent + 2) for name, value in self.params(eqn)]
        if all(len(lines) == 1 for lines in params):
            called = head + (f"[{' '.join(lines[0] for lines in params)}]" if params else "")
            if indent + len(called) <= WIDTH or not params:
                return [*left, *fill(f"{called} ", operands, "  ", indent)]
        inside = ["  " + line for lines in params for line in lines]
        return [*left, f"{head}[", *inside, *fill("] ", operands, "  ", indent)]

    def jaxpr(self, jaxpr, indent=0, prefix=""):
        """The lines of a jaxpr whose first line starts, with a prefix, at a column."""
        constvars = " ".join(self.names.typed(v) for v in jaxpr.constvars)
        invars = [self.names.typed(v) for v in jaxpr.invars]
        used = {v for e in jaxpr.eqns for v in e.invars if type(v) is Var}
        used.update(v for v in jaxpr.outvars if type(v) is Var)
        head = fill(f"{prefix}{{ lambda {constvars}; ", invars, "    ", indent)
        head[-1] += ". let"
        eqns = [self.eqn(e, used, indent + 4) for e in jaxpr.eqns]
        last = len(jaxpr.outvars) - 1
        outs = [self.atom(a) + ("," if i < last or not last else "") for i, a in enumerate(jaxpr.outvars)]
        tail = fill("  in (", outs, "    ", indent)
        tail[-1] += ") }"
        if len(head) == len(tail) == 1 and all(len(lines) == 1 for lines in eqns):
            line = f"{head[0]} {'; '.join(lines[0] for lines in eqns)} {tail[0].lstrip()}"
            if indent + len(line) <= WIDTH:
                return [line]
        body = ["    " + line for lines in eqns for line in lines] or ["    "]
        return [*head, *body, *tail]

    def with_shared(self, jaxpr):
        """A jaxpr after those that several calls in it share."""
        lines = []
        for shared, name in self.find_shared(jaxpr):
            self.names.of_jaxpr(shared, name)
        for shared, name in self.names.jaxprs.items():
            lines += self.jaxpr(shared, 0, f"let {name} = ")
            lines[-1] += " in"
        return lines + self.jaxpr(jaxpr)

    def find_shared(self, jaxpr):
        """The jaxprs to print apart, long ones and those that several jit calls share, and their names."""
        counts, found = {}, []

        def visit(jaxpr):
            for eqn in jaxpr.eqns:
                for value in eqn.params.values():
                    for item in value if isinstance(value, tuple) else (value,):
                        if not isinstance(item, (Jaxpr, ClosedJaxpr)):
                            continue
                        inner = plain(item)
                        counts[inner] = counts.get(inner, 0) + 1
                        if counts[inner] == 1:
                            called = eqn.primitive.name == "jit"
                            found.append((inner, eqn.params["name"] if called else "jaxpr", called))
                            visit(inner)

        visit(jaxpr)
        return [
            (inner, name)
            for inner, name, called in found
            if len(inner.eqns) > MAX_NESTED or (called and counts[inner] > 1)
        ]


def _index(printer, eqn, arrays):
    names = [str(np.asarray(a.val).item()) if type(a) is Literal else printer.atom(a) for a in arrays]
    ref = eqn.invars[0]
    shown = text(ref.aval.shape, eqn.params["index"], [a.aval.shape for a in arrays], names)
    return f"{printer.atom(ref)}{shown}"


def _read(printer, eqn, used):
    return f"{printer.names.typed(eqn.outvars[0])} <- {_index(printer, eqn, eqn.invars[1:])}"


def _swap(printer, eqn, used):
    place = _index(printer, eqn, eqn.invars[2:])
    if used is not None and eqn.outvars[0] not in used and not printer.depth:
        return f"{place} <- {printer.atom(eqn.invars[1])}"
    # The old content comes out.
    old = printer.names.typed(eqn.outvars[0])
    return f"{old}, {place} <- {place}, {printer.atom(eqn.invars[1])}"


def _accumulate(printer, eqn, used):
    return f"{_index(printer, eqn, eqn.invars[2:])} += {printer.atom(eqn.invars[1])}"


# Operations on references are shown as what they do.
REFERENCE_FORMS = {"get": _read, "swap": _swap, "addupdate": _accumulate}


def plain(jaxpr):
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr


def fill(start, words, indent, column):
    """Words one after the other, on as many lines as they need; the lines will start at a column.

    A line may be too long by its last word.
    """
    lines, line = [], start
    for i, word in enumerate(words):
        if i and column + len(line) >= WIDTH:
            lines.append(line)
            line = indent + word
        else:
            line += f" {word}" if i else word
    return [*lines, line]


def format_jaxpr(jaxpr):
    """A jaxpr as text."""
    return "\n".join(Printer().with_shared(jaxpr))


def format_eqn(eqn):
    """One equation as text."""
    printer = Printer()
    for atom in eqn.invars:
        if type(atom) is not Literal:
            printer.names(atom)
    return "\n".join(printer.eqn(eqn, None, 0))

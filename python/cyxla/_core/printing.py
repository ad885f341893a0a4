"""Jaxprs as text, in jax's notation: `{ lambda ; a:f32[]. let b:f32[] = mul a 2.0:f32[] in (b,) }`."""

import numpy as np

from cyxla._engine.core import ClosedJaxpr, Jaxpr, Literal

WIDTH = 80


class Names:
    """Gives variables the names a, b, ..., z, ba, bb, ... in the order in which they are met."""

    def __init__(self):
        self.names = {}

    def __call__(self, var):
        name = self.names.get(var)
        if name is None:
            name = self.names[var] = letters(len(self.names))
        return name

    def typed(self, var):
        return f"{self(var)}:{var.aval.str_short()}"


def letters(number):
    text = chr(ord("a") + number % 26)
    while number >= 26:
        number = number // 26
        text = chr(ord("a") + number % 26) + text
    return text


def format_atom(atom, names):
    if type(atom) is Literal:
        value = atom.val
        scalar = np.asarray(value) if getattr(value.aval.dtype, "physical_shape", None) is None else value
        return f"{scalar.item() if isinstance(scalar, np.ndarray) else scalar}:{atom.aval.str_short()}"
    return names(atom)


def indent(text, by):
    return text.replace("\n", "\n" + " " * by)


def format_param(name, value, names):
    if isinstance(value, ClosedJaxpr):
        return f"{name}={_jaxpr(value.jaxpr, names)}"
    if isinstance(value, Jaxpr):
        return f"{name}={_jaxpr(value, names)}"
    if isinstance(value, tuple) and value and all(isinstance(v, (Jaxpr, ClosedJaxpr)) for v in value):
        parts = [_jaxpr(v.jaxpr if isinstance(v, ClosedJaxpr) else v, names) for v in value]
        inner = "\n".join(indent(p, 2) for p in parts)
        return f"{name}=(\n  {indent(inner, 2)}\n)"
    if isinstance(value, np.dtype):
        return f"{name}={value.name}"
    if callable(value) and hasattr(value, "__name__"):
        return f"{name}={value.__name__}"
    return f"{name}={value}"


def _eqn(eqn, names):
    params = [format_param(k, v, names) for k, v in sorted(eqn.params.items())]
    operands = " ".join(format_atom(a, names) for a in eqn.invars)
    if any("\n" in p or "{ lambda" in p for p in params):
        listed = "\n".join("  " + indent(p, 2) for p in params)
        head = f"{eqn.primitive}[\n{listed}\n]"
    elif params:
        head = f"{eqn.primitive}[{' '.join(params)}]"
        if len(head) > WIDTH:
            listed = "\n".join(f"  {p}" for p in params)
            head = f"{eqn.primitive}[\n{listed}\n]"
    else:
        head = f"{eqn.primitive}"
    results = " ".join(names.typed(v) for v in eqn.outvars)
    text = f"{head} {operands}".rstrip()
    return f"{results} = {text}" if results else text


def _jaxpr(jaxpr, names):
    constvars = " ".join(names.typed(v) for v in jaxpr.constvars)
    invars = " ".join(names.typed(v) for v in jaxpr.invars)
    head = f"{{ lambda {constvars + ' ' if constvars else ''};{' ' + invars if invars else ''}. let"
    eqns = [_eqn(e, names) for e in jaxpr.eqns]
    outs = ", ".join(format_atom(a, names) for a in jaxpr.outvars)
    tail = f"in ({outs}{',' if len(jaxpr.outvars) == 1 else ''}) }}"
    line = " ".join([head, *eqns, tail])
    if len(eqns) <= 1 and "\n" not in line and len(line) <= WIDTH:
        return line
    body = "\n".join("    " + indent(e, 4) for e in eqns)
    return f"{head}\n{body}\n  {tail}" if eqns else f"{head}\n  {tail}"


def format_jaxpr(jaxpr):
    """A jaxpr as text."""
    return _jaxpr(jaxpr, Names())


def format_eqn(eqn):
    """One equation as text."""
    names = Names()
    for atom in eqn.invars:
        if type(atom) is not Literal:
            names(atom)
    return _eqn(eqn, names)

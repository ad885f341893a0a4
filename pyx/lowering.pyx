# cython: language_level=3
import math

import numpy as np

from cyxla._engine.caches import register_tables

cimport cython
from cpython.object cimport PyObject

from cyxla._engine.caches cimport keep
from cyxla._engine.array cimport Array, ArrayImpl, host_value, to_array
from cyxla._engine.aval cimport ShapedArray, shaped_array
from cyxla._engine.core cimport GENERAL, ClosedJaxpr, Eqn, Jaxpr, Literal, Primitive, Var
from cyxla._engine.dtypes cimport (
    BOOL, EXTENDED, FLOAT0, KIND_BOOL, KIND_COMPLEX, KIND_FLOAT, KIND_SIGNED, KIND_UNSIGNED, info,
)
from cyxla._engine.staging cimport trace_flat

from cyxla._engine.source import column_of, line_of

cdef list trace_tables = []
cdef Py_ssize_t TRACE_BOUND = 1024
register_tables("functions in lowering rules", TRACE_BOUND, lambda: trace_tables)

TOKEN = "!stablehlo.token"


def trace_table():
    """A table for `LoweringContext.inline_function` to keep traces in."""
    cdef dict table = {}
    trace_tables.append(table)
    return table


# Operations without effects and regions that lowering rules write again and again: within a scope they are written
# once.
cdef frozenset SHARED = frozenset(["stablehlo." + name for name in (
    "add", "and", "bitcast_convert", "broadcast_in_dim", "clamp", "compare", "concatenate", "convert", "divide",
    "dynamic_slice", "iota", "maximum", "minimum", "multiply", "negate", "not", "or", "pad", "remainder", "reshape",
    "select", "shift_left", "shift_right_arithmetic", "shift_right_logical", "slice", "subtract", "transpose", "xor",
)])

# Larger constants of a program are passed to it as arguments.
cdef Py_ssize_t MAX_INLINE_BYTES = 1024


cdef str float_text(double value):
    if value != value or math.isinf(value):
        return None
    text = repr(value)
    if "e" in text and "." not in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}.0e{exponent}"
    return text


cdef str raw_text(object value):
    return '"0x' + np.ascontiguousarray(value).tobytes().hex().upper() + '"'


cdef str dense_text(object value, int code):
    """The content of `dense<...>` for a NumPy array."""
    cdef int kind = info[code].kind
    if value.size == 0:
        return ""
    if value.size == 1:
        scalar = value.reshape(())
        if kind == KIND_BOOL:
            return "true" if scalar else "false"
        if kind == KIND_COMPLEX:
            re, im = float_text(float(scalar.real)), float_text(float(scalar.imag))
            return raw_text(scalar) if re is None or im is None else f"({re}, {im})"
        if kind == KIND_FLOAT:
            text = float_text(float(scalar))
            if text is None or info[code].bits < 16:
                bits = int.from_bytes(scalar.tobytes(), "little")
                return f"0x{bits:0{2 * info[code].itemsize}X}"
            return text
        return str(int(scalar))
    if kind == KIND_BOOL or info[code].bits < 8:
        return nested_text(value.astype(np.int32 if kind != KIND_BOOL else bool).tolist())
    return raw_text(value)


cdef str nested_text(object value):
    if isinstance(value, list):
        return "[" + ", ".join([nested_text(v) for v in value]) + "]"
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def is_ordered(closed):
    """Whether some effect of a jaxpr is ordered: its equations then pass a token on to each other."""
    for effect in closed.effects:
        if getattr(effect, "ordered", False):
            return True
    return False


class RulesByPlatform:
    """The lowering rules of a primitive that depend on the platform; `rules[None]` is that of all others."""

    def __init__(self, primitive, default):
        self.primitive = primitive
        self.rules = {None: default}

    def rule(self, platform):
        """The rule for a platform; NotImplementedError where there is none."""
        found = self.rules.get(platform)
        if found is None and platform in ("cuda", "rocm"):
            found = self.rules.get("gpu")
        if found is None:
            found = self.rules[None]
        if found is None:
            known = ", ".join([str(p) for p in self.rules if p])
            raise NotImplementedError(
                f"{self.primitive} has no lowering rule for the platform {platform}; it has some for {known}"
            )
        return found

    def __call__(self, ctx, *names, **params):
        return self.rule(ctx.platform)(ctx, *names, **params)


# What has an array's elements and no others.
cdef set MOVES = {
    f"stablehlo.{name}"
    for name in ("broadcast_in_dim", "convert", "reshape", "reverse", "slice", "transpose")
}


@cython.final
cdef class LoweringContext:
    """Writes one module. Lowering rules get it as their first argument.

    With `scope`, the name of the whole, operations say where the user asked for them.
    """

    def __init__(self, platform="cpu", scope=None):
        self.lines = []
        self.functions = []
        self.called = {}
        self.values = {}
        self.function_names = {"main"}
        self._platform = platform
        self.overrides = {}
        self.callbacks = []
        self.scope = scope
        self.name_stack = ""
        self.avals_in = ()
        self.avals_out = ()

    @property
    def platform(self):
        """The platform that is being lowered for."""
        self.platform_matters = True
        return self._platform

    cdef str new_name(self):
        self.counter += 1
        return f"%{self.counter}"

    def fresh(self):
        """A new SSA name."""
        return self.new_name()

    def write(self, str line):
        """Writes a line as it is."""
        self.lines.append(line)

    def op(self, str text, int n=1):
        """Writes `%k = text`; returns the name of the result, or the list of names of n results."""
        cdef str name
        if n == 1:
            if text[:text.find(" ")] in SHARED:
                return self.shared(text)
            name = self.new_name()
            self.lines.append(f"{name} = {text}")
            return name
        name = self.new_name()
        if n == 0:
            self.lines.append(text)
            return []
        self.lines.append(f"{name}:{n} = {text}")
        return [f"{name}#{i}" for i in range(n)]

    cdef str shared(self, str text):
        """As `op`, for an operation without effects and regions: the same one in the same scope is written once."""
        cdef object name = self.values.get(text)
        if name is None:
            name = self.new_name()
            self.lines.append(f"{name} = {text}")
            self.values[text] = name
        return name

    def constant(self, value, ShapedArray aval=None):
        """The name of a constant with an aval's shape; scalars are spread over it."""
        array = value
        if isinstance(array, Array):
            if aval is None:
                aval = (<Array>array).aval
            array = host_value(<ArrayImpl?>array)
        elif aval is None:
            aval = to_array(value).aval
            array = host_value(<ArrayImpl>to_array(value))
        if aval.code == FLOAT0:
            text = dense_text(np.zeros(aval.shape, bool), BOOL)
        else:
            if aval.code < EXTENDED:
                array = np.asarray(array, dtype=aval.dtype)
            text = dense_text(array, aval.code)
        return self.shared(f"stablehlo.constant dense<{text}> : {aval.mlir}")

    cdef str broadcast_scalar(self, str name, object aval, object target):
        return self.shared(f"stablehlo.broadcast_in_dim {name}, dims = [] : "
                           f"({(<ShapedArray>aval).mlir}) -> {(<ShapedArray>target).mlir}")

    def broadcast(self, str name, ShapedArray source, ShapedArray target, dims):
        """Writes a broadcast_in_dim that maps axis i of the operand to axis dims[i] of the result."""
        if source.shape == target.shape:
            return name
        listed = ", ".join([str(d) for d in dims])
        return self.op(f"stablehlo.broadcast_in_dim {name}, dims = [{listed}] : ({source.mlir}) -> {target.mlir}")

    def inline(self, ClosedJaxpr closed, names):
        """Writes the equations of a jaxpr here, for operands of these names; returns the names of the results."""
        cdef dict env = {}
        avals_in, avals_out = self.avals_in, self.avals_out
        for var, value in zip(closed.jaxpr.constvars, closed.consts):
            env[var] = self.constant(value)
        for var, name in zip(closed.jaxpr.invars, names):
            env[var] = name
        self.lower_eqns(closed.jaxpr.eqns, env)
        outs = [self.constant((<Literal>v).val) if type(v) is Literal else env[v] for v in closed.jaxpr.outvars]
        self.avals_in, self.avals_out = avals_in, avals_out
        return outs

    def inline_function(self, function, names, avals, *, bint multiple_results=True, cache=None, key=None):
        """Traces a function of arrays and writes it here; returns the names of its results."""
        closed = None if cache is None else cache.get(key)
        if closed is None:
            closed = ClosedJaxpr(*trace_flat(function, avals))
            if cache is not None:
                keep(cache, key, closed, TRACE_BOUND, "functions in lowering rules")
        outs = self.inline(closed, names)
        return outs if multiple_results else outs[0]

    def region(self, ClosedJaxpr closed):
        """The text `({ ^bb0(...): ... })` of a region that computes a jaxpr, for ops in generic form."""
        outer_lines, outer_values = self.lines, self.values
        self.lines, self.values = [], {}
        names = [self.new_name() for _ in closed.jaxpr.invars]
        header = ", ".join([f"{name}: {v.aval.mlir}" for name, v in zip(names, closed.jaxpr.invars)])
        outs = self.inline(closed, names)
        types = ", ".join([v.aval.mlir for v in closed.jaxpr.outvars])
        self.lines.append(f'"stablehlo.return"({", ".join(outs)}) : ({types}) -> ()')
        body = "\n".join(self.lines)
        self.lines, self.values = outer_lines, outer_values
        return f"({{\n^bb0({header}):\n{body}\n}})"

    def body(self, ClosedJaxpr closed, names, before=(), types_before=(), bint with_token=False):
        """The text of a region without arguments, or whose arguments have been named: equations and the return.

        The region returns the named values `before`, of the types `types_before`, ahead of the jaxpr's results, and
        `with_token` the token of its last ordered effect ahead of all.
        """
        outer_lines, outer_values, outer_token = self.lines, self.values, self.token
        self.lines, self.values = [], {}
        outs = list(before) + self.inline(closed, names)
        types = list(types_before) + [v.aval.mlir for v in closed.jaxpr.outvars]
        if with_token:
            outs.insert(0, self.token)
            types.insert(0, TOKEN)
        tail = f' {", ".join(outs)} : {", ".join(types)}' if outs else ""
        self.lines.append(f"stablehlo.return{tail}")
        text = "\n".join(self.lines)
        self.lines, self.values, self.token = outer_lines, outer_values, outer_token
        return text

    def call(self, ClosedJaxpr closed, names, str hint="fn"):
        """Calls a jaxpr as a function of its own, written once per jaxpr; returns the names of the results."""
        function = self.private_function(closed, hint)
        types = [v.aval.mlir for v in closed.jaxpr.invars]
        results = [v.aval.mlir for v in closed.jaxpr.outvars]
        with_token = is_ordered(closed)
        if with_token:
            names = [self.token, *names]
            types.insert(0, TOKEN)
            results.insert(0, TOKEN)
        n = len(results)
        outs = self.op(f"func.call @{function}({', '.join(names)}) : ({', '.join(types)}) -> ({', '.join(results)})", n)
        if n == 1:
            outs = [outs]
        if with_token:
            self.token = outs[0]
            return outs[1:]
        return outs

    def call_written(self, str hint, tuple key, names, avals_in, avals_out, write):
        """Calls a function that `write(names) -> names` writes with `op` and `constant`, once per hint and key.

        Returns the list of the names of the results.
        """
        found = self.called.get((hint, key))
        types = ", ".join([aval.mlir for aval in avals_in])
        results = ", ".join([aval.mlir for aval in avals_out])
        if found is None:
            function = self.function_name(hint)
            self.called[(hint, key)] = (function, None)
            outer_lines, outer_values, outer_counter = self.lines, self.values, self.counter
            self.lines, self.values, self.counter = [], {}, 0
            arguments = [f"%arg{i}" for i in range(len(avals_in))]
            declared = ", ".join([f"{name}: {aval.mlir}" for name, aval in zip(arguments, avals_in)])
            outs = write(arguments)
            body = "\n".join([f"    {line}" for line in self.lines])
            self.lines, self.values, self.counter = outer_lines, outer_values, outer_counter
            self.functions.append(f"  func.func private @{function}({declared}) -> ({results}) {{\n"
                                  f"{body}\n    return {', '.join(outs)} : {results}\n  }}\n")
        else:
            function = found[0]
        outs = self.op(f"func.call @{function}({', '.join(names)}) : ({types}) -> ({results})", len(avals_out))
        return [outs] if len(avals_out) == 1 else outs

    def private_function(self, ClosedJaxpr closed, str hint):
        """The name of a function of the module that computes a jaxpr, which is written once."""
        found = self.called.get(id(closed))
        if found is not None:
            return found[0]
        function = self.function_name(hint)
        self.called[id(closed)] = (function, closed)
        self.functions.append(self.function(closed, function, "private"))
        return function

    def function_name(self, str hint):
        hint = "".join([c if c.isalnum() and c.isascii() or c == "_" else "_" for c in hint]) or "fn"
        name, n = hint, 0
        while name in self.function_names:
            n += 1
            name = f"{hint}_{n}"
        self.function_names.add(name)
        return name

    def function(self, ClosedJaxpr closed, str name, str visibility, arg_attributes=None, result_attributes=None):
        """The text of a function that computes a jaxpr.

        One with ordered effects makes a token; where it is private, it takes one and returns the last, ahead of all
        else.
        """
        outer_lines, outer_values, outer_counter = self.lines, self.values, self.counter
        outer_token = self.token
        with_token = is_ordered(closed)
        passes_token = with_token and visibility == "private"
        outer_public, self.public = self.public, visibility == "public"
        self.lines, self.values, self.counter, self.token = [], {}, 0, None
        avals_in, avals_out = self.avals_in, self.avals_out
        arguments = [f"%arg{i}" for i in range(len(closed.jaxpr.invars))]
        declared, declared_results = declarations(closed.jaxpr, arg_attributes, result_attributes)
        if passes_token:
            self.token = "%token"
            declared.insert(0, f"%token: {TOKEN}")
            declared_results.insert(0, TOKEN)
        elif with_token:
            self.token = self.op(f"stablehlo.create_token : {TOKEN}")
        outs = self.inline(closed, arguments)
        types = [v.aval.mlir for v in closed.jaxpr.outvars]
        if passes_token:
            outs.insert(0, self.token)
            types.insert(0, TOKEN)
        tail = f' {", ".join(outs)} : {", ".join(types)}' if outs else ""
        body = "\n".join([f"    {line}" for line in self.lines])
        self.lines, self.values, self.counter = outer_lines, outer_values, outer_counter
        self.token, self.public = outer_token, outer_public
        self.avals_in, self.avals_out = avals_in, avals_out
        return (f"  func.func {visibility} @{name}({', '.join(declared)}) -> ({', '.join(declared_results)}) {{\n"
                f"{body}\n    return{tail}\n  }}\n")

    def function_by_platform(self, ClosedJaxpr closed, tuple platforms, arg_attributes=None, result_attributes=None):
        """The text of `main` for several platforms: a first argument, the position of one among them, chooses.

        Where no lowering rule asks for the platform, nothing is chosen.
        """
        cdef list alternatives = []
        self.platform_matters = False
        for platform in platforms:
            # What one platform's functions do need not be what another's do.
            self._platform, self.called = platform, {}
            name = self.function_name(f"main_{platform}")
            alternatives.append((name, self.function(closed, name, "private")))
            if not self.platform_matters:
                break
        declared, results = declarations(closed.jaxpr, arg_attributes, result_attributes)
        declared.insert(0, "%platform: tensor<i32> {jax.global_constant = \"_platform_index\"}")
        names = [f"%arg{i}" for i in range(len(closed.jaxpr.invars))]
        types = [v.aval.mlir for v in closed.jaxpr.invars]
        types_out = [v.aval.mlir for v in closed.jaxpr.outvars]
        lines = []
        if is_ordered(closed):
            lines.append(f"%token = stablehlo.create_token : {TOKEN}")
            names.insert(0, "%token")
            types.insert(0, TOKEN)
            types_out.insert(0, TOKEN)
        n = len(types_out)
        outs = ["%out"] if n == 1 else [f"%out#{i}" for i in range(n)]
        produce = "" if n == 0 else "%out = " if n == 1 else f"%out:{n} = "
        signature = f"({', '.join(types)}) -> ({', '.join(types_out)})"
        returned = f" {', '.join(outs)} : {', '.join(types_out)}" if n else ""
        calls = [f"{produce}func.call @{name}({', '.join(names)}) : {signature}" for name, _ in alternatives]
        if len(calls) == 1:
            lines += calls
        else:
            regions = ", ".join([f"{{\n      {call}\n      stablehlo.return{returned}\n    }}" for call in calls])
            lines.append(f'{produce}"stablehlo.case"(%platform) ({regions}) : '
                         f"(tensor<i32>) -> ({', '.join(types_out)})")
        if is_ordered(closed):
            outs, types_out = outs[1:], types_out[1:]
            returned = f" {', '.join(outs)} : {', '.join(types_out)}" if outs else ""
        body = "\n".join([f"    {line}" for line in lines])
        self.functions += [text for _, text in alternatives]
        return (f"  func.func public @main({', '.join(declared)}) -> ({', '.join(results)}) {{\n"
                f"{body}\n    return{returned}\n  }}\n")

    cdef list lower_eqns(self, list eqns, dict env):
        cdef Eqn eqn
        cdef Py_ssize_t i
        for eqn in eqns:
            names = [self.constant((<Literal>v).val, (<Literal>v).aval) if type(v) is Literal else env[v]
                     for v in eqn.invars]
            outs = self.lower_eqn(eqn, names) if self.scope is None else self.lower_located(eqn, names)
            for i in range(len(eqn.outvars)):
                env[eqn.outvars[i]] = outs[i]
        return []

    cdef list lower_located(self, Eqn eqn, list names):
        """As `lower_eqn`, with locations behind the operations."""
        cdef Py_ssize_t i, first = len(self.lines)
        cdef str line, location, scope = self.scope, outer = self.name_stack
        import json

        called = eqn.params.get("name") if eqn.primitive.name == "jit" else None
        self.name_stack = str(eqn.name_stack) if eqn.name_stack else ""
        inner = self.name_stack.removeprefix(outer).strip("/")
        self.scope = "/".join([part for part in (
            scope, inner, eqn.primitive.name if called is None else f"jit({called})") if part])
        try:
            outs = self.lower_eqn(eqn, names)
            location = json.dumps(self.scope, ensure_ascii=False)
        finally:
            self.scope, self.name_stack = scope, outer
        if eqn.code != NULL:
            code = <object><PyObject*>eqn.code
            place = f"{json.dumps(code.co_filename, ensure_ascii=False)}:{line_of(code, eqn.lasti)}"
            location += f"({place}:{column_of(code, eqn.lasti)})"
        for i in range(first, len(self.lines)):
            line = self.lines[i]
            if " loc(" not in line[line.rfind("\n") + 1:]:  # the operations of inner equations have their own
                self.lines[i] = f"{line} loc({location})"
        return outs

    cdef bint is_argument(self, str name):
        """Whether a value is an argument of the program, or one moved or converted."""
        while not name.startswith("%arg"):
            start = f"{name} = "
            for line in reversed(self.lines):
                if line.startswith(start):
                    break
            else:
                return False
            operation, name = (<str>line)[len(start):].split(" ", 2)[:2]
            if operation not in MOVES:
                return False
            name = name.rstrip(",")
        return self.public

    cdef str integer_division(self, str operation, list names, ShapedArray out, object divisor):
        """A division whose divisor is made harmless, with XLA's results for 0 and for -1, which may overflow.

        XLA folds constants by the processor's division, which ends the process for these. Arguments of the program are
        no constants, and are divided as they are: XLA's code for that is as safe.
        """
        cdef bint quotient = operation == "stablehlo.divide"
        cdef bint signed = info[out.code].kind == KIND_SIGNED
        cdef str x = names[0], y = names[1], mask = shaped_array(out.shape, BOOL, False).mlir
        cdef str zero, minus_one, by_zero, by_minus_one = None, unsafe, safe, result
        if type(divisor) is Literal and (<Literal>divisor).aval.ndim == 0 and (
                host_value(<ArrayImpl?>(<Literal>divisor).val).item() not in (0, -1)):
            return self.shared(f"{operation} {x}, {y} : {out.mlir}")
        if self.is_argument(x) or self.is_argument(y):
            return self.shared(f"{operation} {x}, {y} : {out.mlir}")
        order = "SIGNED" if signed else "UNSIGNED"
        zero = self.constant(0, out)
        by_zero = unsafe = self.shared(
            f"stablehlo.compare EQ, {y}, {zero}, {order} : ({out.mlir}, {out.mlir}) -> {mask}")
        if signed:
            minus_one = self.constant(-1, out)
            by_minus_one = self.shared(
                f"stablehlo.compare EQ, {y}, {minus_one}, {order} : ({out.mlir}, {out.mlir}) -> {mask}")
            unsafe = self.shared(f"stablehlo.or {by_zero}, {by_minus_one} : {mask}")
        safe = self.shared(f"stablehlo.select {unsafe}, {self.constant(1, out)}, {y} : {mask}, {out.mlir}")
        result = self.shared(f"{operation} {x}, {safe} : {out.mlir}")
        if not quotient:
            return self.shared(f"stablehlo.select {by_zero}, {x}, {result} : {mask}, {out.mlir}")
        if signed:
            negated = self.shared(f"stablehlo.negate {x} : {out.mlir}")
            result = self.shared(f"stablehlo.select {by_minus_one}, {negated}, {result} : {mask}, {out.mlir}")
        ones = self.shared(f"stablehlo.not {zero} : {out.mlir}")
        return self.shared(f"stablehlo.select {by_zero}, {ones}, {result} : {mask}, {out.mlir}")

    cdef list lower_eqn(self, Eqn eqn, list names):
        cdef Primitive primitive = eqn.primitive
        cdef ShapedArray out
        cdef Py_ssize_t i
        cdef object rule = primitive.lower
        if self.overrides:
            rule = self.overrides.get(primitive, rule)
        if type(rule) is RulesByPlatform:
            rule = rule.rule(self.platform)
        if isinstance(rule, str):
            out = <ShapedArray>(<Var>eqn.outvars[0]).aval
            if primitive.kind != GENERAL and out.ndim:
                for i in range(len(names)):
                    aval = <ShapedArray>atom_aval(eqn.invars[i])
                    if aval.ndim == 0:
                        names[i] = self.broadcast_scalar(names[i], aval, shaped_array(out.shape, aval.code, False))
            if info[out.code].kind == KIND_SIGNED or info[out.code].kind == KIND_UNSIGNED:
                if rule == "stablehlo.divide" or rule == "stablehlo.remainder":
                    return [self.integer_division(rule, names, out, eqn.invars[1])]
            if "{" in rule:
                operand_types = {f"t{i}": shaped_array(
                    out.shape if primitive.kind != GENERAL else atom_aval(v).shape, atom_aval(v).code, False).mlir
                    for i, v in enumerate(eqn.invars)}
                text = rule.format(*names, t=out.mlir, **operand_types)
            else:
                text = f"{rule} {', '.join(names)} : {out.mlir}"
            return [self.op(text) if primitive.kind == GENERAL else self.shared(text)]
        if rule is None:
            raise NotImplementedError(f"{primitive.name} has no lowering for platform {self._platform}")
        self.avals_in = tuple([atom_aval(v) for v in eqn.invars])
        self.avals_out = tuple([(<Var>v).aval for v in eqn.outvars])
        result = rule(self, *names, **eqn.params)
        if primitive.multiple_results:
            return list(result)
        return [result[0] if type(result) is list else result]


cdef inline ShapedArray atom_aval(object atom):
    return (<Literal>atom).aval if type(atom) is Literal else (<Var>atom).aval


cdef tuple declarations(Jaxpr jaxpr, arg_attributes, result_attributes):
    """What a function's signature says of its arguments, and of its results; lists of text."""
    arguments = [f"%arg{i}: {var.aval.mlir}" for i, var in enumerate(jaxpr.invars)]
    results = [var.aval.mlir for var in jaxpr.outvars]
    for declared, attributes in ((arguments, arg_attributes), (results, result_attributes)):
        for i, attribute in enumerate(attributes or ()):
            if attribute:
                declared[i] = f"{declared[i]} {{{attribute}}}"
    return arguments, results


def lower_module(ClosedJaxpr closed, str name, *, platforms=("cpu",), arg_attributes=None, result_attributes=None,
                 scope=None):
    """The StableHLO text of a module whose `main` computes a jaxpr; with `scope`, its name, with source locations.

    For several platforms, `main` has one more first argument: the position among them of that on which it runs. Large
    constants become leading arguments. Returns the text, the list of the constants to pass, and that of the Python
    functions that the program calls.
    """
    context = LoweringContext(platforms[0], scope)
    jaxpr = closed.jaxpr
    large, small = [], []
    for var, value in zip(jaxpr.constvars, closed.consts):
        aval = (<Var>var).aval
        is_large = aval.code >= EXTENDED or aval.size * info[aval.code].itemsize > MAX_INLINE_BYTES
        (large if is_large else small).append((var, value))
    if large:
        jaxpr = Jaxpr([v for v, _ in small], [v for v, _ in large] + jaxpr.invars, jaxpr.outvars, jaxpr.eqns)
        closed = ClosedJaxpr(jaxpr, [c for _, c in small])
        if arg_attributes is not None:
            arg_attributes = [""] * len(large) + list(arg_attributes)
    if len(platforms) == 1:
        main = context.function(closed, "main", "public", arg_attributes, result_attributes)
    else:
        main = context.function_by_platform(closed, tuple(platforms), arg_attributes, result_attributes)
    text = f"module @{name} {{\n{main}{''.join(context.functions)}}}\n"
    return text, [value for _, value in large], context.callbacks

"""`debug.breakpoint`: a prompt in which to look at the values of a running program."""

import cmd
import linecache
import pathlib
import pprint
import sys
import traceback
from typing import Any, NamedTuple

from cyxla._engine.array import ArrayImpl, asarray
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Tracer
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla.debug.calls import bind

_PACKAGE = str(pathlib.Path(__file__).parents[1])
_CONTEXT = 3


class Frame(NamedTuple):
    """A frame of the stack at a breakpoint, with the values of its variables."""

    filename: str
    line: int
    function: str
    variables: dict[str, Any]
    globals: dict[str, Any]

    def source(self):
        """The lines around the current one, which an arrow marks."""
        first = max(1, self.line - _CONTEXT)
        lines = [f"> {self.filename}({self.line}) {self.function}"]
        for number in range(first, self.line + _CONTEXT + 1):
            text = linecache.getline(self.filename, number).rstrip("\n")
            if text or number <= self.line:
                lines.append(f"{'->' if number == self.line else '  '}  {text}")
        return "\n".join(lines)

    def summary(self):
        text = linecache.getline(self.filename, self.line).strip()
        return f'  File "{self.filename}", line {self.line}, in {self.function}\n    {text}'


def capture(frame, num_frames, filter_frames):
    """The frames from a Python frame outwards, innermost first; without those of this package if they are filtered."""
    frames = []
    while frame is not None and (num_frames is None or len(frames) < num_frames):
        code = frame.f_code
        if not (filter_frames and code.co_filename.startswith(_PACKAGE)):
            frames.append(Frame(code.co_filename, frame.f_lineno, code.co_name, dict(frame.f_locals), frame.f_globals))
        frame = frame.f_back
    return frames


class _Hidden:
    """Stands for a variable that holds a pytree of traced values, one with the values being made when it is shown."""

    __slots__ = ("leaves", "tree")

    def __init__(self, leaves, tree):
        self.leaves = leaves
        self.tree = tree


def _is_traced(leaf):
    # The tracer of a trace that is over is shown as what it is.
    return isinstance(leaf, Tracer) and leaf._trace is not None and leaf._trace.alive


def _flatten(value):
    try:
        return tree_flatten(value)
    except (TypeError, ValueError):
        # A dict whose keys have no order, say.
        return [value], None


def take_out_traced(frames):
    """The frames with their traced values replaced, and those values: they are known only when the program runs."""
    traced, positions, out = [], {}, []

    def position(leaf):
        if id(leaf) not in positions:
            positions[id(leaf)] = len(traced)
            traced.append(leaf)
        return positions[id(leaf)]

    for frame in frames:
        variables = {}
        for name, value in frame.variables.items():
            leaves, tree = _flatten(value)
            if any(map(_is_traced, leaves)):
                variables[name] = _Hidden([(position(x), None) if _is_traced(x) else (None, x) for x in leaves], tree)
            else:
                variables[name] = value
        out.append(frame._replace(variables=variables))
    return out, traced


def put_back(frames, values):
    """The frames with values in the places of the traced ones."""

    def restore(value):
        if type(value) is not _Hidden:
            return value
        return tree_unflatten(value.tree, [x if i is None else values[i] for i, x in value.leaves])

    return [f._replace(variables={name: restore(value) for name, value in f.variables.items()}) for f in frames]


class Prompt(cmd.Cmd):
    """The commands of the prompt. Variables are looked up in the selected frame."""

    intro = "Entering the breakpoint prompt; 'help' lists its commands."
    prompt = "(cydb) "
    use_rawinput = False

    def __init__(self, frames, stdin=None, stdout=None):
        super().__init__(stdin=stdin or sys.stdin, stdout=stdout or sys.stdout)
        self.frames = frames
        self.selected = 0

    def say(self, text):
        print(text, file=self.stdout, flush=True)

    def evaluate(self, text, show):
        frame = self.frames[self.selected]
        try:
            # Comprehensions see the globals only.
            self.say(show(eval(text, {**frame.globals, **frame.variables})))
        except Exception as error:
            self.say("*** " + traceback.format_exception_only(error)[-1].strip())

    def emptyline(self):
        return False

    def default(self, line):
        if line == "EOF":
            return self.do_quit("")
        return self.evaluate(line, repr)

    def do_p(self, text):
        """p EXPRESSION: evaluates an expression in the selected frame and prints it."""
        self.evaluate(text, repr)

    def do_pp(self, text):
        """pp EXPRESSION: as p, over several lines where that is easier to read."""
        self.evaluate(text, pprint.pformat)

    def do_list(self, _):
        """l, list: shows the source around the current line."""
        self.say(self.frames[self.selected].source())

    def do_up(self, _):
        """u, up: selects the frame that called this one."""
        if self.selected == len(self.frames) - 1:
            self.say("This is the topmost frame.")
        else:
            self.selected += 1
        self.do_list("")

    def do_down(self, _):
        """d, down: selects the frame that this one called."""
        if self.selected == 0:
            self.say("This is the bottommost frame.")
        else:
            self.selected -= 1
        self.do_list("")

    def do_bt(self, _):
        """bt, w, where: shows the stack, the innermost call last."""
        self.say("Stack:\n" + "\n".join(frame.summary() for frame in reversed(self.frames)))

    def do_continue(self, _):
        """c, cont, continue: goes on with the program."""
        return True

    def do_quit(self, _):
        """q, quit, exit, or the end of the input: ends the program."""
        raise SystemExit(0)

    do_l = do_list
    do_u = do_up
    do_d = do_down
    do_w = do_where = do_bt
    do_c = do_cont = do_continue
    do_q = do_exit = do_quit


@api_boundary
def breakpoint(*, backend=None, filter_frames=True, num_frames=None, ordered=False, token=None, **kwargs):
    """Stops a program, compiled or not, at a prompt on standard input and output in which to look at its values.

    The prompt knows `p` and `pp` (print an expression of the variables), `l` (list the source), `u` and `d` (go to the
    calling frame and back), `bt` (the stack), `c` (continue), `q` (quit); anything else is an expression to print.
    `num_frames` bounds the frames that can be looked at, `filter_frames=False` shows those of this package too.
    `ordered` breakpoints are reached in the order of the program. Under `vmap` there is one stop for each element.
    The one `backend` is "cli": ValueError for others. A `token`, any pytree, is returned as it is; the stop happens
    before what is computed from it where it is ordered.
    """
    if backend not in (None, "cli"):
        raise ValueError(f"debug.breakpoint: no backend {backend!r}; the prompt on standard input is 'cli'")
    if kwargs:
        raise TypeError(f"debug.breakpoint: the prompt has no options {', '.join(kwargs)}")
    frames, traced = take_out_traced(capture(sys._getframe(1), num_frames, filter_frames))

    def stop(*values):
        Prompt(put_back(frames, values)).cmdloop()

    bind(traced, stop, ordered)
    return token


__all__ = ["ArrayImpl", "Frame", "Prompt", "asarray", "breakpoint"]

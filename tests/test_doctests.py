"""Examples in docstrings run and give what they say: those of functions and classes, of the compiled modules, and of
the callables that are made from tables."""

import doctest
import importlib
import importlib.machinery
import inspect
import pathlib
import pkgutil

import pytest

import cyxla

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def may_have_examples(info):
    spec = info.module_finder.find_spec(info.name)
    if isinstance(spec.loader, importlib.machinery.ExtensionFileLoader):
        return True
    return ">>>" in pathlib.Path(spec.origin).read_text("utf-8")


MODULES = ["cyxla", *sorted(m.name for m in pkgutil.walk_packages(cyxla.__path__, "cyxla.") if may_have_examples(m))]


def members(owner, prefix):
    """(qualified name, object) of what a module or class defines itself."""
    for name, value in vars(owner).items():
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if inspect.ismodule(value) or isinstance(value, str | int | float | dict | list | tuple):
            continue
        yield f"{prefix}.{name}", value


def examples(module):
    """(qualified name, docstring) of a module's docstrings with examples, each once."""
    found = {}
    names = [(module.__name__, module)]
    for name, value in members(module, module.__name__):
        if getattr(value, "__module__", None) != module.__name__ and not is_of_table(module, value):
            continue
        names.append((name, value))
        if inspect.isclass(value):
            names.extend(members(value, name))
    for name, value in names:
        doc = getattr(value, "__doc__", None)
        if isinstance(doc, str) and ">>>" in doc:
            found.setdefault(doc, name)
    return [(name, doc) for doc, name in found.items()]


def is_of_table(module, value):
    """Whether it is an elementwise function: these say that they belong to cyxla.lax or cyxla.numpy."""
    return isinstance(value, cyxla._engine.ufunc.Elementwise) and module.__name__.startswith(value.__module__)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    parser = doctest.DocTestParser()
    failures = []
    for qualified, doc in examples(module):
        test = parser.get_doctest(doc, dict(vars(module)), qualified, getattr(module, "__file__", name), 0)
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_the_examples_are_found():
    count = {name: len(examples(importlib.import_module(name))) for name in MODULES}
    assert count["cyxla._transform.grad"] >= 5
    assert sum(count[name] for name in count if name.startswith("cyxla.numpy")) >= 50
    assert any(count[name] for name in count if name.startswith("cyxla._engine"))

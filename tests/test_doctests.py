"""Runs the examples in the docstrings of every module, compiled ones too."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp


def module_names():
    found = pkgutil.walk_packages(cyxla.__path__, "cyxla.")
    return ["cyxla", *(module.name for module in found if not module.name.endswith("__main__"))]


class Finder(doctest.DocTestFinder):
    """Also looks at functions of compiled modules and at objects with a docstring of their own, such as ufuncs."""

    def _from_module(self, module, object):
        if getattr(object, "__module__", None) is not None:
            return object.__module__ == module.__name__
        return super()._from_module(module, object)


def examples(module):
    names = {"np": np, "jnp": jnp, "cyxla": cyxla} | vars(module)
    tests = Finder(exclude_empty=True).find(module, module.__name__, globs=names)
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", module_names())
def test_examples_of_module(name):
    module = importlib.import_module(name)
    problems = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples(module):
        runner.run(test, out=problems.append)
    assert not problems, "".join(problems)

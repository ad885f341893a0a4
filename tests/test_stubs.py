"""The stubs of the engine name what the compiled modules have, and nothing else."""

import ast
import importlib
import importlib.machinery
import pathlib
import pkgutil
import types

import pytest

import cyxla._engine

MODULES = sorted(
    info.name
    for info in pkgutil.iter_modules(cyxla._engine.__path__)
    if isinstance(info.module_finder.find_spec(info.name).loader, importlib.machinery.ExtensionFileLoader)
)


def stub(name):
    """The syntax tree of a module's stub."""
    for directory in cyxla._engine.__path__:
        path = pathlib.Path(directory) / f"{name}.pyi"
        if path.is_file():
            return ast.parse(path.read_text("utf-8"))
    raise FileNotFoundError(f"cyxla._engine.{name} has no stub")


def public(names):
    return {name for name in names if not name.startswith("_")}


def declared(body):
    """Name -> node of what a module or class body of a stub declares; type variables and aliases are the stub's own."""
    names = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = node
    return names


def defined(module):
    """The public names that a compiled module itself defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if not isinstance(value, types.ModuleType) and getattr(value, "__module__", module.__name__) == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_names(name):
    module = importlib.import_module(f"cyxla._engine.{name}")
    in_stub = public(declared(stub(name).body))
    in_stub_only, missing = in_stub - set(vars(module)), public(defined(module)) - in_stub
    assert not in_stub_only
    assert not missing


@pytest.mark.parametrize("name", MODULES)
def test_members_of_classes(name):
    module = importlib.import_module(f"cyxla._engine.{name}")
    for node in stub(name).body:
        if isinstance(node, ast.ClassDef):
            in_stub = declared(node.body)
            # What is declared as `name: type` may be an attribute of the instances alone.
            of_class = {n for n, member in in_stub.items() if not isinstance(member, ast.AnnAssign)}
            members = public(vars(getattr(module, node.name)))
            in_stub_only, missing = public(of_class) - members, members - public(in_stub)
            assert not in_stub_only, node.name
            assert not missing, node.name


def test_types_that_cannot_be_subclassed_are_final_in_the_stub():
    for name in MODULES:
        module = importlib.import_module(f"cyxla._engine.{name}")
        for node in stub(name).body:
            if not isinstance(node, ast.ClassDef):
                continue
            try:
                types.new_class("Derived", (getattr(module, node.name),))
                final = False
            except TypeError as error:
                final = "not an acceptable base type" in str(error)
            assert final == any(ast.unparse(d) == "final" for d in node.decorator_list), f"{name}.{node.name}"


def test_the_modules_of_the_engine_are_found():
    assert {"core", "staging", "dispatch", "pytree", "array"} <= set(MODULES)


@pytest.mark.parametrize("package", ["cyxla", "cyxla.lax", "cyxla.numpy"])
def test_stubs_of_packages_name_what_they_give_now_and_later(package):
    module = importlib.import_module(package)
    tree = ast.parse(pathlib.Path(module.__file__).with_suffix(".pyi").read_text("utf-8"))
    given = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            given.update({alias.asname: (node.module, alias.name) for alias in node.names if alias.asname})
        elif isinstance(node, ast.AnnAssign):
            given[node.target.id] = (package, node.target.id)
        elif isinstance(node, ast.Assign):
            given[node.targets[0].id] = (package, node.targets[0].id)
    submodules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    unlisted = public(dir(module)) - set(given) - submodules
    assert not unlisted
    assert not set(given) - set(dir(module))
    for name, (source, original) in given.items():
        source = importlib.import_module(source)
        assert getattr(module, name) is getattr(source, original), name
    assert not {*module._LATER} & set(given), "a module that has the name of a function takes it when it is loaded"

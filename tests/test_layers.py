"""The layers import downwards only, jaxlib enters through _runtime only, and jax nowhere.

The order is the one that setup.cfg declares to import-linter. That tool reads Python, this the Cython modules too.
"""

import ast
import configparser
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "cyxla"

pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="the source tree is not here")


def layers():
    """Name of a layer -> its height, the lowest 0."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    rows = config["importlinter:contract:layers"]["layers"].split("\n")
    rows = [re.findall(r"\w+", row) for row in rows if row.strip()]
    return {name: len(rows) - 1 - i for i, row in enumerate(rows) for name in row}


def python_imports(path):
    """(line, dotted module) of every import, those inside functions too; names imported from a module are appended."""
    package = ["cyxla", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant))


def cython_imports(path):
    pattern = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\w+)|c?import\s+([\w.]+))")
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if found := pattern.match(line):
            yield number, found[3] or f"{found[1]}.{found[2]}"


def imports():
    """(file:line, importing module as a tuple of names, imported module as a tuple of names)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        importer = ("cyxla", *path.relative_to(PACKAGE).with_suffix("").parts)
        for line, module in python_imports(path):
            yield f"{path.relative_to(ROOT)}:{line}", importer, tuple(module.split("."))
    for path in sorted((ROOT / "pyx").rglob("*.p[yx][xdi]")):
        for line, module in cython_imports(path):
            yield f"{path.relative_to(ROOT)}:{line}", ("cyxla", "_engine", path.stem), tuple(module.split("."))


def test_layers_import_downwards_only():
    height = layers()
    upwards = [
        f"{place}: {'.'.join(importer[:2])} imports {'.'.join(imported)}"
        for place, importer, imported in imports()
        if imported[0] == "cyxla"
        and len(imported) > 1
        and importer[1] in height
        # A name that is no layer belongs to the package's top, which stands above all of them.
        and height.get(imported[1], len(height)) > height[importer[1]]
    ]
    assert not upwards, "\n".join(upwards)


def test_every_layer_exists():
    missing = [n for n in layers() if not (PACKAGE / n).is_dir() and not (PACKAGE / f"{n}.py").is_file()]
    assert not missing


def test_only_the_runtime_imports_jaxlib():
    found = [place for place, importer, imported in imports() if imported[0] == "jaxlib" and importer[1] != "_runtime"]
    assert not found


def test_nothing_imports_jax():
    assert not [place for place, _, imported in imports() if imported[0] == "jax"]


def test_declarations_have_no_decorators():
    # Cython ignores them there without a word: no_gc, final and freelist work in the .pyx only.
    for path in sorted((ROOT / "pyx").rglob("*.pxd")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert not line.startswith("@"), f"{path.name}:{number}: a decorator has no effect in a .pxd"

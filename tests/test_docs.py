"""Runs the Python blocks of the README and of the pages in docs/."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page):
    namespace = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        exec(compile(code, str(page), "exec"), namespace)


def test_paths_that_the_architecture_names_exist():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:pyx|cmake|tests|bench|docs|\.github)/[\w./]+|(?:_\w+|lax|numpy)/[\w/]+\.py)`", text)
    missing = [p for p in named if not (ROOT / p).exists() and not (ROOT / "python" / "cyxla" / p).exists()]
    assert named and not [p for p in missing if not p.startswith("bench/results")]

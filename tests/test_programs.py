"""Runs whole programs written for JAX, after the change of import: they must print the numbers they print under jax.

A program prints lines "RESULT name value"; programs/expected.json has the values.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

PROGRAMS = pathlib.Path(__file__).parent / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_program(name, tmp_path):
    source = (PROGRAMS / f"{name}.py").read_text()
    ported, imports = re.subn(
        r"^import jax, jax\.numpy as jnp\b", "import cyxla as jax, cyxla.numpy as jnp", source, flags=re.M
    )
    assert imports == 1
    program = tmp_path / f"{name}.py"
    program.write_text(ported)
    run = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=600, env=os.environ | {"PYTHONSAFEPATH": "1"}
    )
    assert run.returncode == 0, run.stderr[-4000:]
    results = {m[1]: float(m[2]) for m in re.finditer(r"^RESULT (\S+) (\S+)$", run.stdout, re.M)}
    assert results == pytest.approx(EXPECTED[name], rel=1e-3)

"""Runs every program of examples/, shortened: each checks its own results and exits with an error if they are off."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SHORT = {
    "ode_fit": ["--iterations", "30"],
    "hmc": ["--chains", "4", "--draws", "120"],
    "hvp": ["--steps", "3"],
}


def run(name, arguments, directory):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=directory,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_every_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"digits", *SHORT}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_example(name, tmp_path):
    run(name, SHORT[name], tmp_path)


@pytest.mark.slow
def test_the_demo_reaches_its_accuracy_and_draws_its_figure(tmp_path):
    printed = run("digits", ["--epochs", "20", "--out", "figure.png"], tmp_path)
    assert float(re.search(r"test accuracy\s+([\d.]+)%", printed)[1]) >= 97
    assert int(re.search(r"compilations\s+(\d+)", printed)[1]) > 0
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")

"""The script that says whether a new jaxlib's programs can be run natively."""

import importlib.util
import pathlib

import numpy as np
import pytest

from cyxla._runtime import backend, native

SCRIPT = pathlib.Path(__file__).parent.parent.parent / "scripts" / "verify_native.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the source tree is not here")


@pytest.fixture(scope="module")
def script():
    if native.unsupported(backend.default_device()):
        pytest.skip("no native execution here")
    spec = importlib.util.spec_from_file_location("verify_native", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["sin, 8", "while of a sort", "libm", "returned as is", "3-layer MLP, 8"])
def test_programs_run_natively(script, name):
    assert script.examine(*script.programs()[name]).startswith("native")


def test_other_results_and_refusals_are_told(script, monkeypatch):
    class Wrong:
        def run(self, arrays):
            return [np.float32(7).tobytes() * 3]

    x = np.ones(3, np.float32)
    monkeypatch.setattr(native, "_load", lambda *args: Wrong())
    assert script.examine([x], lambda x: x + 1, False).startswith("OTHER RESULTS: [7. 7. 7.]")
    monkeypatch.setattr(native, "_load", lambda *args: "thunk unheard-of")
    assert script.examine([x], lambda x: x + 1, False) == "refused: thunk unheard-of"

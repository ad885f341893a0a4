"""Text forms of arrays, and files."""

import numpy as np

from .creation import asarray


def array_repr(arr, max_line_width=None, precision=None, suppress_small=None):
    """The text of ``repr(arr)``, with NumPy's options."""
    return np.array_repr(asarray(arr), max_line_width, precision, suppress_small)


def array_str(a, max_line_width=None, precision=None, suppress_small=None):
    """The text of ``str(a)``, with NumPy's options."""
    return np.array_str(_on_host(a), max_line_width, precision, suppress_small)


def _on_host(x):
    return np.asarray(asarray(x))


get_printoptions = np.get_printoptions
printoptions = np.printoptions


def set_printoptions(*args, **kwargs):
    """Sets NumPy's print options, which arrays of this package obey."""
    np.set_printoptions(*args, **kwargs)


def save(file, arr, allow_pickle=True):
    """Write an array to a .npy file."""
    np.save(file, np.asarray(arr), allow_pickle=allow_pickle)


def savez(file, *args, allow_pickle=True, **kwds):
    """Write several arrays to an .npz file, under the keyword names or arr_0, arr_1 ..."""
    np.savez(
        file, *map(np.asarray, args), allow_pickle=allow_pickle, **{name: np.asarray(x) for name, x in kwds.items()}
    )


def load(file, *args, **kwargs):
    """The array in a .npy file, or the mapping of NumPy arrays in an .npz file."""
    out = np.load(file, *args, **kwargs)
    if isinstance(out, np.ndarray):
        if out.dtype.kind == "V" and out.dtype.itemsize == 2:
            # NumPy writes bfloat16 as raw bytes of that width.
            import ml_dtypes

            out = out.view(ml_dtypes.bfloat16)
        return asarray(out)
    return out

"""Rows of the table of examples for Fourier transforms, ragged and scaled products, approximate selection, and what is
said to the compiler; see examples.py."""

from examples import Example, complexes, floats

EXAMPLES: list[Example] = []


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


# ---- Fourier transforms

for kind, lengths, operand in (
    ("FFT", (4,), complexes(3, 4)),
    ("IFFT", (3, 4), complexes(3, 4)),
    ("RFFT", (4,), floats(3, 4)),
    ("RFFT", (4, 3), floats(4, 3)),
    ("IRFFT", (6,), complexes(3, 4)),
    ("IRFFT", (3, 7), complexes(3, 4)),
):
    example(
        "fft",
        lambda lax, x, kind=kind, lengths=lengths: lax.fft(x, kind, lengths),
        operand,
        label=f"{kind} {lengths[-1]}",
    )

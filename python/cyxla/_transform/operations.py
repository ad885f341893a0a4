"""The operations that transformations themselves compute with. They are those of lax, which is a layer above."""

lax = None


def install(module):
    """lax hands itself over when it is imported."""
    global lax
    lax = module

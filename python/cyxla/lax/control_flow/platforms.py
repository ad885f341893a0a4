"""The platform that a program is compiled for, as a value in it, by which `platform_dependent` chooses."""

from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code
from cyxla._runtime.backend import default_backend
from cyxla.lax.control_flow.common import scalar

INT32 = dtype_code("int32")
# jaxlib calls both of the first two "gpu" where only one of them is present.
ALIASES = {"cuda": ("cuda", "gpu"), "rocm": ("rocm", "gpu"), "gpu": ("gpu", "cuda", "rocm")}


def choice(platforms, platform):
    """The number of the function for a platform: the first one of its name, else the default (None)."""
    names = ALIASES.get(platform, (platform,))
    for number, group in enumerate(platforms):
        if group is not None and any(name in group for name in names):
            return number
    if None in platforms:
        return platforms.index(None)
    listed = ", ".join(name for group in platforms for name in group)
    raise NotImplementedError(
        f"platform_dependent: there is no function for platform {platform!r}, only for {listed}; give a default"
    )


platform_index_p = Primitive(
    "platform_index",
    abstract=lambda *, platforms: shaped_array((), INT32, False),
    impl=lambda *, platforms: scalar(choice(platforms, default_backend()), "int32"),
    lower=lambda ctx, *, platforms: ctx.constant(choice(platforms, ctx.platform), ctx.avals_out[0]),
    differentiable=False,
)

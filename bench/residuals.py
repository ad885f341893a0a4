"""What reverse mode keeps for the backward pass in ten programs and more, beside what jax keeps.

    python -m bench.residuals

Residuals are counted where users see them, as the leaves of what `vjp` returns; `temp` is what XLA sets aside for
intermediate values of the compiled gradient.
"""

import importlib

import numpy as np

F = np.float32
X = np.linspace(-1, 1, 32 * 16, dtype=F).reshape(32, 16)
V = np.linspace(-1, 1, 16, dtype=F)
W = np.linspace(-0.5, 0.5, 16 * 16, dtype=F).reshape(16, 16)
IMAGE = np.linspace(-1, 1, 2 * 12 * 12 * 3, dtype=F).reshape(2, 12, 12, 3)
KERNEL = np.linspace(-1, 1, 3 * 3 * 3 * 4, dtype=F).reshape(3, 3, 3, 4)
KERNEL_2 = np.linspace(-1, 1, 3 * 3 * 4 * 4, dtype=F).reshape(3, 3, 4, 4)
LABELS = (np.arange(32) % 16).astype(np.int32)
SEQUENCE = np.linspace(-1, 1, 20 * 16, dtype=F).reshape(20, 16)


def mlp(jax, layers, x):
    for w, b in layers:
        x = jax.nn.relu(x @ w + b)
    return (x**2).mean()


def gelu_mlp(jax, layers, x):
    for w, b in layers:
        x = jax.nn.gelu(x @ w + b)
    return jax.numpy.sum(jax.numpy.tanh(x))


def cross_entropy(jax, w, x, labels):
    return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(x @ w), labels[:, None], 1))


def one_hot_cross_entropy(jax, w, x, labels):
    return -jax.numpy.sum(jax.nn.one_hot(labels, 16) * jax.nn.log_softmax(x @ w)) / 32


def layer_norm(jax, scale, bias, x):
    mean = x.mean(-1, keepdims=True)
    return jax.numpy.sum(((x - mean) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * scale + bias) ** 2)


def attention(jax, wq, wk, wv, x):
    jnp = jax.numpy
    q, k, v = ((x @ w).reshape(32, 2, 8) for w in (wq, wk, wv))
    logits = jnp.einsum("thd,shd->hts", q, k) / np.sqrt(8).astype(F)
    logits = jnp.where(jnp.tril(jnp.ones((32, 32), bool)), logits, -1e9)
    out = jnp.einsum("hts,shd->thd", jax.nn.softmax(logits, axis=-1), v).reshape(32, 16)
    return jnp.sum((x + out) ** 2)


def convolution(jax, first, second, x):
    for w in (first, second):
        x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x)
        x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x.mean()


def rnn(jax, w, u, h, xs):
    def step(h, x):
        h = jax.numpy.tanh(w @ h + u @ x)
        return h, h

    return jax.numpy.sum(jax.lax.scan(step, h, xs)[1] ** 2)


def lstm(jax, w, u, h, xs):
    def step(state, x):
        h, c = state
        i, f, g, o = jax.numpy.split(jax.numpy.concatenate([w @ h, u @ x, w @ x, u @ h]), 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
        h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (h, h), xs)[1].sum()


def log_sum_exp(jax, x):
    return jax.scipy.special.logsumexp(x, axis=-1).sum()


def checkpointed_mlp(policy):
    def program(jax, layers, x):
        chosen = None if policy is None else getattr(jax.checkpoint_policies, policy)
        for w, b in layers:
            x = jax.checkpoint(lambda x, w=w, b=b: jax.numpy.sin(jax.numpy.sin(x @ w + b)), policy=chosen)(x)
        return x.sum()

    return program


def checkpointed_whole(policy):
    def program(jax, layers, x):
        chosen = None if policy is None else getattr(jax.checkpoint_policies, policy)

        @jax.checkpoint if chosen is None else (lambda f: jax.checkpoint(f, policy=chosen))
        def network(layers, x):
            for w, b in layers:
                x = jax.numpy.sin(jax.numpy.sin(x @ w + b))
            return x.sum()

        return network(layers, x)

    return program


def ode(jax, w, y):
    odeint = importlib.import_module(f"{jax.__name__}.experimental.ode").odeint
    return odeint(lambda y, t, w: jax.numpy.tanh(w @ y), y, np.array([0.0, 1.0, 2.0], F), w).sum()


def fori(jax, w, x):
    return jax.lax.fori_loop(0, 10, lambda i, x: jax.numpy.sin(w @ x), x).sum()


def custom(jax, w, x):
    @jax.custom_vjp
    def clipped(x):
        return jax.numpy.clip(x, -1, 1)

    clipped.defvjp(lambda x: (clipped(x), x), lambda x, ct: (jax.numpy.where(abs(x) < 1, ct, 0.1 * ct),))
    return (clipped(x @ w) ** 2).sum()


def conditional(jax, w, x):
    jnp = jax.numpy
    return jax.lax.cond(x[0, 0] > 0, lambda x: jnp.sin(x @ w), lambda x: jnp.exp(x @ w) * 2, x).sum()


def sinc_kernel(jax, centres, x):
    return jax.numpy.sinc(x @ centres).sum()


def checkpointed_rnn(jax, w, u, h, xs):
    @jax.checkpoint
    def step(h, x):
        h = jax.numpy.tanh(w @ h + u @ x)
        return h, h

    return jax.numpy.sum(jax.lax.scan(step, h, xs)[1] ** 2)


def mixture(jax, means, x):
    distances = -((x[:, None] - means) ** 2).sum(-1)
    return -jax.nn.logsumexp(distances, axis=-1).mean()


def normalized_network(jax, layers, x):
    jnp = jax.numpy
    for w, b in layers:
        centred = x - x.mean(-1, keepdims=True)
        x = x + jax.nn.silu(centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) @ w + b)
    return jax.nn.softplus(x).sum()


def group_attention(jax, wq, wk, x):
    q, k = (x @ wq).reshape(1, 32, 4, 4), (x @ wk).reshape(1, 32, 4, 4)
    return (jax.nn.dot_product_attention(q, k, k, is_causal=True) ** 2).mean()


LAYERS = [(W, V)] * 3

# name -> (function of (jax, *operands), operands); the function is differentiated in all of them that are floats
PROGRAMS = {
    "mlp": (mlp, (LAYERS, X)),
    "mlp, gelu": (gelu_mlp, (LAYERS, X)),
    "softmax cross entropy": (cross_entropy, (W, X, LABELS)),
    "cross entropy of one-hot": (one_hot_cross_entropy, (W, X, LABELS)),
    "layer norm": (layer_norm, (V, V, X)),
    "attention": (attention, (W, W, W, X)),
    "convolutions, pooling": (convolution, (KERNEL, KERNEL_2, IMAGE)),
    "rnn by scan": (rnn, (W, W, V, SEQUENCE)),
    "lstm by scan": (lstm, (W, W, V, SEQUENCE)),
    "logsumexp": (log_sum_exp, (X,)),
    "checkpointed layers": (checkpointed_mlp(None), (LAYERS, X)),
    "layers, dots_saveable": (checkpointed_mlp("dots_saveable"), (LAYERS, X)),
    "checkpointed mlp": (checkpointed_whole(None), (LAYERS, X)),
    "mlp, dots_saveable": (checkpointed_whole("dots_saveable"), (LAYERS, X)),
    "mlp, everything_saveable": (checkpointed_whole("everything_saveable"), (LAYERS, X)),
    "mlp, nothing_saveable": (checkpointed_whole("nothing_saveable"), (LAYERS, X)),
    "odeint": (ode, (W, V)),
    "fori_loop": (fori, (W, V)),
    "custom_vjp": (custom, (W, X)),
    "cond": (conditional, (W, X)),
    "sinc": (sinc_kernel, (W, X)),
    "rnn, checkpointed steps": (checkpointed_rnn, (W, W, V, SEQUENCE)),
    "mixture": (mixture, (W, X)),
    "residual blocks": (normalized_network, (LAYERS, X)),
    "causal attention": (group_attention, (W, W, X)),
}


def residuals(jax, name):
    """The number of residuals and of their bytes."""
    function, operands = PROGRAMS[name]
    operands = jax.tree.map(jax.numpy.asarray, operands)
    pullback = jax.vjp(lambda *args: function(jax, *args), *operands)[1]
    leaves = jax.tree.leaves(pullback)
    return len(leaves), sum(leaf.nbytes for leaf in leaves)


def temporary_bytes(jax, name):
    """What the compiled gradient needs for intermediate values."""
    function, operands = PROGRAMS[name]
    argnums = tuple(i for i, x in enumerate(operands) if x is not LABELS)
    gradient = jax.jit(jax.grad(lambda *args: function(jax, *args), argnums))
    return gradient.lower(*operands).compile().memory_analysis().temp_size_in_bytes


def measure(temporaries=True):
    """name -> for each package, (number of residuals, their bytes, temporary bytes)"""
    packages = [importlib.import_module(name) for name in ("cyxla", "jax")]
    return {
        name: [(*residuals(jax, name), temporary_bytes(jax, name) if temporaries else 0) for jax in packages]
        for name in PROGRAMS
    }


def table(found):
    width = max(map(len, found))
    heads = [f"{what} {whose}" for what in ("residuals", "bytes", "temp") for whose in ("cyxla", "jax")]
    lines = [" ".join([f"{'':{width}}", *(f"{h:>15}" for h in heads)])]
    for name, (ours, theirs) in found.items():
        pairs = list(zip(ours, theirs))
        cells = [f"{n:>15,}" for pair in pairs for n in pair]
        lines.append(" ".join([f"{name:{width}}", *cells, "  more" * any(a > b for a, b in pairs[1:])]))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))

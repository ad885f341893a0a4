"""The models that are traced: an RNN of 100 steps and a transformer of 24 layers, unrolled and as scans.

Each is a loss of (parameters, data), written with the package under measurement.
"""

import math

STEPS = 100
LAYERS = 24
WIDTH = 32
HEADS = 4


def rnn_step(jnp, params, h, x):
    h = jnp.tanh(x @ params["in"] + h @ params["hidden"] + params["bias"])
    return h, h @ params["out"]


def rnn_unrolled(jax, params, xs):
    jnp = jax.numpy
    h, loss = jnp.zeros(WIDTH), 0.0
    for t in range(xs.shape[0]):
        h, y = rnn_step(jnp, params, h, xs[t])
        loss = loss + jnp.mean((y - 1.0) ** 2)
    return loss


def rnn_scan(jax, params, xs):
    jnp = jax.numpy
    _, ys = jax.lax.scan(lambda h, x: rnn_step(jnp, params, h, x), jnp.zeros(WIDTH), xs)
    return jnp.mean((ys - 1.0) ** 2)


def rnn_arguments(jnp, steps=STEPS):
    shapes = {"in": (8, WIDTH), "hidden": (WIDTH, WIDTH), "bias": (WIDTH,), "out": (WIDTH, 4)}
    return {name: jnp.full(shape, 0.01) for name, shape in shapes.items()}, jnp.ones((steps, 8))


def layer_norm(jax, x, scale, shift):
    mean = jax.numpy.mean(x, -1, keepdims=True)
    variance = jax.numpy.var(x, -1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + shift


def attention(jax, params, x):
    length = x.shape[0]
    q, k, v = (
        (x @ params[name]).reshape(length, HEADS, WIDTH // HEADS).transpose(1, 0, 2)
        for name in ("query", "key", "value")
    )
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
    scores = jax.numpy.where(jax.numpy.tril(jax.numpy.ones((length, length), bool)), scores, -1e9)
    heads = jax.nn.softmax(scores, axis=-1) @ v
    return heads.transpose(1, 0, 2).reshape(length, WIDTH) @ params["proj"]


def block(jax, params, x):
    x = x + attention(jax, params, layer_norm(jax, x, params["scale1"], params["shift1"]))
    y = layer_norm(jax, x, params["scale2"], params["shift2"])
    return x + jax.nn.gelu(y @ params["up"] + params["bias"]) @ params["down"]


BLOCK_SHAPES = {
    **dict.fromkeys(("query", "key", "value", "proj"), (WIDTH, WIDTH)),
    **dict.fromkeys(("scale1", "shift1", "scale2", "shift2"), (WIDTH,)),
    "up": (WIDTH, 4 * WIDTH),
    "bias": (4 * WIDTH,),
    "down": (4 * WIDTH, WIDTH),
}


def transformer_unrolled(jax, layers, x):
    for params in layers:
        x = block(jax, params, x)
    return jax.numpy.mean(x**2)


def transformer_scan(jax, stacked, x):
    x, _ = jax.lax.scan(lambda x, params: (block(jax, params, x), None), x, stacked)
    return jax.numpy.mean(x**2)


def transformer_arguments(jnp, layers=LAYERS):
    one = {name: jnp.full(shape, 0.01) for name, shape in BLOCK_SHAPES.items()}
    return [one] * layers, jnp.ones((16, WIDTH))


def stacked_arguments(jnp, layers=LAYERS):
    stacked = {name: jnp.full((layers, *shape), 0.01) for name, shape in BLOCK_SHAPES.items()}
    return stacked, jnp.ones((16, WIDTH))


MODELS = {
    "RNN of 100 steps": (rnn_unrolled, rnn_arguments),
    "RNN as a scan": (rnn_scan, rnn_arguments),
    "transformer of 24 layers": (transformer_unrolled, transformer_arguments),
    "transformer as a scan": (transformer_scan, stacked_arguments),
}

"""Trains a classifier of handwritten digits: an MLP with AdamW, both written on plain pytrees.

The data are scikit-learn's 1797 images of 8x8 pixels. Every epoch is one pass over shuffled batches, each image moved
by up to a pixel. Prints accuracy, time per step and what compilation cost, and draws out/digits.png.
"""

import argparse
import itertools
import pathlib
import statistics
import time
from functools import partial

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from tqdm import trange

import cyxla as jax
import cyxla.numpy as jnp
from cyxla._engine import dispatch

LAYERS = (64, 256, 128, 10)
BATCH = 64
TRAINING_IMAGES = 1440


def load(key):
    """Shuffled images in [0, 1] and their labels, split into a training and a test set."""
    digits = load_digits()
    order = np.asarray(jax.random.permutation(key, len(digits.target)))
    images = (digits.images / 16).astype(np.float32)[order]
    labels = digits.target.astype(np.int32)[order]
    return (images[:TRAINING_IMAGES], labels[:TRAINING_IMAGES]), (images[TRAINING_IMAGES:], labels[TRAINING_IMAGES:])


def init_params(key):
    initializer = jax.nn.initializers.he_normal()
    shapes = list(itertools.pairwise(LAYERS))
    keys = jax.random.split(key, len(shapes))
    return [{"w": initializer(k, shape), "b": jnp.zeros(shape[1])} for k, shape in zip(keys, shapes)]


def logits(params, image):
    """Scores of the ten digits for one image."""
    x = image.ravel()
    for layer in params[:-1]:
        x = jax.nn.gelu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def shifted(key, image):
    """The image moved by at most one pixel in each direction."""
    start = jax.random.randint(key, (2,), 0, 3)
    return jax.lax.dynamic_slice(jnp.pad(image, 1), start, image.shape)


def loss(params, images, labels):
    log_probabilities = jax.nn.log_softmax(jax.vmap(logits, in_axes=(None, 0))(params, images))
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


def init_adamw(params):
    # Two separate trees: the step donates both, and a buffer can be donated once only.
    mean, square = jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
    return {"step": jnp.zeros((), jnp.int32), "mean": mean, "square": square}


def adamw(params, gradient, state, learning_rate, decay=1e-2, b1=0.9, b2=0.99, eps=1e-8):
    step = state["step"] + 1
    mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state["mean"], gradient)
    square = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g**2, state["square"], gradient)

    def update(p, m, s):
        direction = (m / (1 - b1**step)) / (jnp.sqrt(s / (1 - b2**step)) + eps)
        return p - learning_rate * (direction + decay * p)

    return jax.tree.map(update, params, mean, square), {"step": step, "mean": mean, "square": square}


@partial(jax.jit, static_argnames="steps", donate_argnums=(0, 1))
def train_step(params, state, key, images, labels, *, steps):
    images = jax.vmap(shifted)(jax.random.split(key, len(images)), images)
    value, gradient = jax.value_and_grad(loss)(params, images, labels)
    learning_rate = 4e-3 * (1 + jnp.cos(jnp.pi * state["step"] / steps)) / 2
    params, state = adamw(params, gradient, state, learning_rate)
    return params, state, value


@jax.jit
def predict(params, images):
    return jax.vmap(logits, in_axes=(None, 0))(params, images).argmax(-1)


def train(key, data, test_data, epochs):
    """Trains for some epochs; returns the parameters, the loss of every step and the seconds of every step."""
    images, labels = data
    init_key, key = jax.random.split(key)
    params = init_params(init_key)
    state = init_adamw(params)
    batches = len(images) // BATCH
    losses, seconds = [], []
    bar = trange(epochs, unit="epoch", desc="training")
    for _ in bar:
        key, order_key, *step_keys = jax.random.split(key, 2 + batches)
        order = np.asarray(jax.random.permutation(order_key, len(images)))
        for i, step_key in enumerate(step_keys):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            start = time.perf_counter()
            params, state, value = train_step(
                params, state, step_key, images[chosen], labels[chosen], steps=epochs * batches
            )
            losses.append(float(value))
            seconds.append(time.perf_counter() - start)
        bar.set_postfix(
            refresh=False, loss=f"{np.mean(losses[-batches:]):.3f}", test=f"{accuracy(params, *test_data):.1%}"
        )
    return params, losses, seconds


def accuracy(params, images, labels):
    return float((predict(params, images) == labels).mean())


def draw(path, losses, images, labels, predictions):
    """The loss curve beside a grid of test images, each titled with its prediction, wrong ones first and red."""
    figure = plt.figure(figsize=(11, 4.5), layout="constrained")
    curve, grid = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    axes = curve.subplots()
    axes.semilogy(losses, color="tab:blue", alpha=0.3, label="each step")
    window = min(50, len(losses))
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.semilogy(np.arange(window - 1, len(losses)), smooth, color="tab:blue", label=f"mean of {window} steps")
    axes.set(xlabel="step", ylabel="cross entropy", title="training loss")
    axes.legend()
    worst_first = np.argsort(predictions == labels, kind="stable")
    for axes, i in zip(grid.subplots(4, 8).flat, worst_first):
        right = predictions[i] == labels[i]
        axes.imshow(images[i], cmap="gray_r")
        axes.set_title(
            f"{predictions[i]}" if right else f"{predictions[i]}, is {labels[i]}",
            fontsize=8,
            color="black" if right else "tab:red",
        )
        axes.axis("off")
    grid.suptitle("predictions on the test set", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/digits.png"))
    options = parser.parse_args()

    start = time.perf_counter()
    data_key, train_key = jax.random.split(jax.random.key(0))
    data, (test_images, test_labels) = load(data_key)
    params, losses, seconds = train(train_key, data, (test_images, test_labels), options.epochs)
    reached = accuracy(params, test_images, test_labels)
    total = time.perf_counter() - start

    stats = dispatch.stats()
    print(f"test accuracy   {reached:.2%} of {len(test_labels)} images, after {total:.1f} s in all")
    print(f"step            {1e3 * statistics.median(seconds):.2f} ms (median), the first {seconds[0]:.2f} s")
    print(
        f"compilations    {stats['compilations']}: trace {stats['trace_s']:.2f} s, "
        f"lowering {stats['lower_s']:.2f} s, XLA {stats['compile_s']:.2f} s"
    )
    draw(options.out, losses, test_images, test_labels, np.asarray(predict(params, test_images)))
    print(f"figure          {options.out}")
    assert reached >= 0.97 or options.epochs < 10, f"test accuracy {reached:.2%}: the model has not learned"


if __name__ == "__main__":
    main()

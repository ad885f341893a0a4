"""Rows of the table of examples for random keys and their bits; see examples.py. Keys go in and out as their data."""

import numpy as np

import cyxla
import cyxla.random
from cyxla._engine.core import primitive_by_name
from examples import Example, floats, is_oracle, module_of

EXAMPLES: list[Example] = []


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


def on_keys(function):
    """An example's function from one of `(jax.random, keys, ...)`, which may give keys."""

    def of_data(lax, data, *args):
        random = module_of(lax, "random")
        result = function(random, random.wrap_key_data(data), *args)
        is_key = result.dtype != np.uint32 and "key" in str(result.dtype)
        return random.key_data(result) if is_key else result

    return of_data


def seed(lax, value):
    random = module_of(lax, "random")
    return random.key_data(random.key(value))


def threefry(lax, *words):
    primitive = module_of(lax, "extend.random").threefry2x32_p if is_oracle(lax) else primitive_by_name("threefry2x32")
    return primitive.bind(*words)


def broadcast(lax, key, counts):
    return [module_of(lax).numpy.broadcast_to(key[:, i, None], counts.shape) for i in (0, 1)]


def mapped_threefry(lax, key, counts):
    """Keys scalar and counts of one dimension more; jax's rule for it fails, and one call must give the same."""
    if is_oracle(lax):
        return threefry(lax, *broadcast(lax, key, counts), counts, counts)
    return cyxla.vmap(lambda k, c: tuple(threefry(lax, k[0], k[1], c, c)), in_axes=(0, None))(key, counts[0])


def counters(lax):
    """The words of the index of each element; no public function of jax gives them."""
    if not is_oracle(lax):
        return primitive_by_name("iota_2x32_shape").bind(shape=(2, 3))
    low = lax.reshape(lax.iota(np.uint32, 6), (2, 3))
    return lax.full_like(low, 0), low


def mapped_gamma(lax, data, alpha):
    module = module_of(lax)
    key = module.random.wrap_key_data(data)
    return module.vmap(lambda a: module.random.gamma(key, a))(alpha)


KEY = np.array([7, 0xDEADBEEF], np.uint32)
KEYS = np.array([[1, 2], [3, 4], [0, 0xFFFFFFFF]], np.uint32)
WORDS = np.array([5, 0, 0xFFFFFFFF, 12], np.uint32)
ALPHA = floats(3, low=0.4, high=3.0)

example("random_seed", seed, np.int32(42))
example("random_seed", seed, np.uint32(0xFFFFFFFE), label="large")
example("random_wrap", on_keys(lambda random, keys: keys[1]), KEYS)
example("random_unwrap", on_keys(lambda random, keys: random.key_data(keys)), KEYS)
example("random_clone", on_keys(lambda random, keys: random.clone(keys)), KEYS)
example("random_split", on_keys(lambda random, key: random.split(key, (2, 2))), KEY)
example("random_fold_in", on_keys(lambda random, key, data: random.fold_in(key, data)), KEY, np.uint32(9))
for dtype in ("uint8", "uint16", "uint32"):
    example("random_bits", on_keys(lambda random, key, d=dtype: random.bits(key, (2, 3), d)), KEY, label=dtype)
example("random_gamma", on_keys(lambda random, key, alpha: random.gamma(key, alpha)), KEY, ALPHA, second=False)
example("random_gamma_each", mapped_gamma, KEY, ALPHA, second=False)
example("threefry2x32", threefry, *KEYS.T, WORDS[:3], WORDS[1:], vectorize=False)
example("threefry2x32", mapped_threefry, KEYS, np.stack([WORDS] * 3), vectorize=False, label="vmap")
example("iota_2x32_shape", counters)

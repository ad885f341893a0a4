"""Scaled dot-product attention."""

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_choice
from cyxla.nn.normalization import logsumexp, softmax


def _check(name, x, shape):
    """x must have this shape, where entries that are tuples list the sizes allowed and None allows any."""
    if x.ndim != len(shape):
        raise ValueError(f"dot_product_attention: {name} must have {len(shape)} dimensions, got shape {x.shape}")
    for got, want in zip(x.shape, shape):
        if want is not None and got not in (want if isinstance(want, tuple) else (want,)):
            raise ValueError(f"dot_product_attention: {name} has shape {x.shape}, which does not match {shape}")


def _position_mask(queries, keys, is_causal, window):
    """bool[queries, keys] of the pairs that causality and the local window allow; None for all."""
    mask = None
    if is_causal:
        mask = jnp.tril(jnp.ones((queries, keys), np.bool_))
    if window is not None:
        left, right = window
        i, j = jnp.arange(queries)[:, None], jnp.arange(keys)[None, :]
        for near in (None if right is None else i >= j - right, None if left is None else i <= j + left):
            if near is not None:
                mask = near if mask is None else jnp.logical_and(mask, near)
    return mask


def dot_product_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    *,
    scale=None,
    is_causal=False,
    query_seq_lengths=None,
    key_value_seq_lengths=None,
    local_window_size=None,
    implementation=None,
    return_residual=False,
):
    """Attention: softmax of scaled products of queries and keys, times values.

    Dimensions: B batch, T queries, S keys and values, N heads, K heads of keys and values (a divisor of N: groups of
    N / K heads share them), H features of a head.

    Args:
      query: array `[B, T, N, H]` or `[T, N, H]`.
      key, value: arrays `[B, S, K, H]` or `[S, K, H]`.
      bias: added to the products, broadcastable to `[B, N, T, S]`.
      mask: boolean, broadcastable to `[B, N, T, S]`: the pairs that take part.
      scale: factor of the products, by default `1 / sqrt(H)`.
      is_causal: let query i see the keys up to i only.
      query_seq_lengths, key_value_seq_lengths: `int32[B]`: how much of each sequence is there.
      local_window_size: an int, or a pair of ints: how far before and behind its position a query sees.
      implementation: None or "xla"; "cudnn" is not available.
      return_residual: return also the logarithms of the softmax denominators, `[B, T, N]`.

    Returns an array of the shape and dtype of `query`.
    """
    query, key, value = asarray(query), asarray(key), asarray(value)
    check_choice("dot_product_attention", "implementation", implementation, (None, "xla"))
    shape = query.shape
    if query.ndim == 3:
        query, key, value = query[None], key[None], value[None]
        bias, mask = (x[None] if x is not None and asarray(x).ndim == 3 else x for x in (bias, mask))
    elif query.ndim != 4:
        raise ValueError(f"dot_product_attention: query must have 3 or 4 dimensions, got shape {shape}")
    b, t, n, h = query.shape
    if key.ndim != 4:
        raise ValueError(f"dot_product_attention: key must have as many dimensions as query, got shape {key.shape}")
    s, k = key.shape[1:3]
    _check("key", key, (b, None, None, h))
    _check("value", value, (b, s, k, h))
    if not (query.dtype == key.dtype == value.dtype):
        raise ValueError(
            f"dot_product_attention: query, key and value need one dtype, got {query.dtype}, {key.dtype}, {value.dtype}"
        )
    if n % k:
        raise ValueError(f"dot_product_attention: {n} query heads cannot share {k} heads of keys evenly")
    for name, lengths in (("query_seq_lengths", query_seq_lengths), ("key_value_seq_lengths", key_value_seq_lengths)):
        if lengths is not None:
            _check(name, asarray(lengths), (b,))
    if local_window_size is not None and not isinstance(local_window_size, tuple):
        local_window_size = (int(local_window_size), int(local_window_size))

    # Heads are [K, N/K], or [N] where none share keys: an axis of size 1 would cost the backward pass memory.
    heads, labels = ((k,), "k") if n == k else ((k, n // k), "kg")
    one = (1,) * len(heads)

    def grouped(name, x):
        """[B or 1, N or 1, T or 1, S or 1] with the axis of heads split."""
        x = asarray(x)
        _check(name, x, ((b, 1), (n, 1), (t, 1), (s, 1)))
        return x.reshape(x.shape[0], *(heads if x.shape[1] == n else one), *x.shape[2:])

    scale = np.array(1 / np.sqrt(h)) if scale is None else scale
    exact = np.float64 if query.dtype == np.float64 else np.float32
    groups = query.reshape(b, t, *heads, h)
    logits = jnp.einsum(f"bt{labels}h,bskh->b{labels}ts", groups, key, preferred_element_type=exact)
    logits = logits * asarray(scale).astype(logits.dtype)
    if bias is not None:
        logits = (logits + grouped("bias", bias)).astype(logits.dtype)

    masks = [] if mask is None else [grouped("mask", mask)]
    position = _position_mask(t, s, is_causal, local_window_size)
    if position is not None:
        masks.append(position)
    present = [
        jnp.arange(size) < asarray(lengths)[:, None] if lengths is not None else None
        for size, lengths in ((t, query_seq_lengths), (s, key_value_seq_lengths))
    ]
    if present[0] is not None:
        masks.append(present[0].reshape(b, *one, t, 1))
    if present[1] is not None:
        masks.append(present[1].reshape(b, *one, 1, s))
    if masks:
        allowed = masks[0]
        for m in masks[1:]:
            allowed = jnp.logical_and(allowed, m)
        # Not -inf: a query that may see nothing then gets an average instead of NaN.
        logits = jnp.where(allowed, logits, np.array(-0.7 * np.finfo(exact).max, exact))

    weights = softmax(logits, axis=-1).astype(key.dtype)
    encoded = jnp.einsum(f"b{labels}ts,bskh->bt{labels}h", weights, value)
    if present[0] is not None:
        encoded = encoded * present[0].reshape(b, t, *one, 1).astype(encoded.dtype)
    encoded = encoded.reshape(shape)
    if not return_residual:
        return encoded
    residual = lax.stop_gradient(logsumexp(logits, axis=-1).astype(key.dtype))  # [B, heads, T]
    return encoded, jnp.moveaxis(residual, -1, 1).reshape(shape[:-1])

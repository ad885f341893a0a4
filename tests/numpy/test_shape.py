"""Rearranging, joining, cutting, repeating, padding."""

from numpy_oracle import agree, cases


@cases("""
    jnp.reshape(g, (3, 2)), jnp.reshape(g, -1), jnp.reshape(g, (3, -1), order='F'), g.reshape(6), g.reshape(3, 2),
        g.reshape((1, -1))
    jnp.reshape(z, (3, -1))
    jnp.reshape(g, 6, copy=True), g.reshape(2, 3), jnp.reshape(x, (1, 1)), g.reshape(-1, order='F'),
        jnp.reshape(w, (3, 1))
    jnp.reshape(g, (4, 2))
    jnp.reshape(g, (-1, -1))
    jnp.reshape(g, (-1, 4))
    jnp.reshape(g, (2, -3))
    jnp.reshape(g, (3, 2), order='A')
    jnp.reshape(g, (3, 2), order='X')
    jnp.ravel(g), jnp.ravel(g, 'F'), g.ravel(), g.flatten(), g.flat if False else 0, jnp.ravel(x)
    jnp.transpose(t), jnp.transpose(t, (1, 0, 2)), t.T, t.transpose(2, 0, 1), t.transpose((-1, 0, 1)), t.mT,
        jnp.matrix_transpose(t), jnp.permute_dims(t, (2, 1, 0)), f.T
    jnp.transpose(g, (0, 0))
    jnp.transpose(g, (0,))
    jnp.matrix_transpose(f)
    jnp.swapaxes(t, 0, -1), jnp.moveaxis(t, 0, -1), jnp.moveaxis(t, (0, 1), (-1, 0)), jnp.rollaxis(t, 2),
        jnp.rollaxis(t, 0, 3), t.swapaxes(0, 1)
    jnp.moveaxis(t, (0, 1), 0)
    jnp.moveaxis(t, (0, 0), (0, 1))
    jnp.swapaxes(t, 0, 5)
    jnp.expand_dims(f, 0), jnp.expand_dims(f, (0, -1)), jnp.expand_dims(f, 1), jnp.squeeze(f[None, :, None]),
        jnp.squeeze(f[None], 0), jnp.squeeze(f[None, :, None], (0, -1))
    jnp.expand_dims(f, 5)
    jnp.expand_dims(f, (0, 0))
    jnp.squeeze(f, 0)
    jnp.broadcast_to(f, (2, 4)), jnp.broadcast_to(f[:, None], (4, 3)), jnp.broadcast_to(x, (2,)),
        jnp.broadcast_arrays(f, g[:, :1], x)
    jnp.broadcast_to(g, (2, 4))
    jnp.broadcast_to(g, (3,))
    jnp.broadcast_arrays(f, g)
    jnp.broadcast_shapes((2, 1), (3,), ()), jnp.broadcast_shapes(), jnp.broadcast_shapes((0,), (1,))
    jnp.broadcast_shapes((2,), (3,))
    jnp.atleast_1d(x), jnp.atleast_1d(f, x), jnp.atleast_2d(f), jnp.atleast_3d(f), jnp.atleast_3d(g),
        jnp.atleast_2d(x)
    jnp.flip(g), jnp.flip(g, 0), jnp.flip(t, (0, 2)), jnp.flipud(g), jnp.fliplr(g), jnp.rot90(g), jnp.rot90(g, 2),
        jnp.rot90(g, -1), jnp.rot90(t, 1, (1, 2))
    jnp.fliplr(f)
    jnp.rot90(g, axes=(0, 0))
    jnp.roll(f, 1), jnp.roll(f, -2), jnp.roll(g, 1, 1), jnp.roll(g, 2), jnp.roll(g, (1, 2), (0, 1)),
        jnp.roll(t, 1, (0, 2)), jnp.roll(f, 0), jnp.roll(f, 9)
    jnp.roll(f, i[0]), jnp.roll(g, i[:2], (0, 1)), jnp.roll(f, i[1]), jnp.roll(t, i[0], (1, 2))
    jnp.roll(g, (1, 2, 3), (0, 1))
    jnp.resize(f, (2, 3)), jnp.resize(g, 4), jnp.resize(f, 0)
    jnp.shape(g), jnp.ndim(g), jnp.size(g), jnp.size(t, 1), jnp.size(t, (0, 2)), jnp.shape(1.0), jnp.iterable(f),
        jnp.iterable(1)
    jnp.concatenate([f, q]), jnp.concatenate([g, j]), jnp.concatenate([g, g], axis=1),
        jnp.concatenate([g, f], axis=None), jnp.concatenate([f, h]), jnp.concatenate((w, w)), jnp.concatenate(g)
    jnp.concatenate([f, i], dtype='bfloat16'), jnp.concat([f, f]), jnp.concatenate([u, b]), jnp.concatenate([w, u])
    jnp.concatenate([])
    jnp.concatenate([1, 2])
    jnp.concatenate([g, f])
    jnp.concatenate([g, m])
    jnp.concatenate(1)
    jnp.concatenate([f, f], axis=2)
    jnp.stack([f, q]), jnp.stack([f, i], 1), jnp.stack([1, 2]), jnp.stack(g), jnp.stack([f, q], axis=-1, dtype=int),
        jnp.stack([w, w])
    jnp.stack([])
    jnp.stack([f, f[:2]])
    jnp.vstack([f, q]), jnp.hstack([f, i]), jnp.hstack([g, g]), jnp.dstack([f, q]), jnp.dstack([g, g]),
        jnp.column_stack([f, q]), jnp.column_stack([g, g]), jnp.vstack([g, g]), jnp.hstack(g)
    jnp.block([[m, m], [m, m]]), jnp.block([f, f]), jnp.block([[1, 2], [3, 4]]), jnp.block(f)
    jnp.block((f, f))
    jnp.block([[f], f])
    jnp.unstack(g), jnp.unstack(g, axis=1), jnp.append(f, i), jnp.append(g, g, axis=1), jnp.append(f, 2)
    jnp.split(f, 2), jnp.split(s, [1, 4]), jnp.split(g, 3, axis=1), jnp.array_split(s, 4), jnp.hsplit(g, 3),
        jnp.vsplit(g, 2), jnp.dsplit(t, 2), jnp.split(s, np.array([3]))
    jnp.split(s, 4)
    jnp.split(s, 2, axis=1)
    jnp.tile(f, 2), jnp.tile(g, (2, 1)), jnp.tile(f, (2, 3)), jnp.tile(g, 2), jnp.tile(g, (1, 1, 2)), jnp.tile(f, 0),
        jnp.tile(x, 3)
    jnp.repeat(f, 2), jnp.repeat(g, 2, axis=1), jnp.repeat(g, 3), jnp.repeat(g, np.array([1, 2, 0]), axis=1),
        jnp.repeat(f, 0), f.repeat(2), jnp.repeat(x, 3)
    jnp.repeat(f, jnp.abs(i), total_repeat_length=5), jnp.repeat(f, jnp.abs(i), total_repeat_length=9),
        jnp.repeat(g, 2, axis=0, total_repeat_length=3), jnp.repeat(f, np.array([2]))
    jnp.repeat(f, np.array([1, 2]))
    jnp.delete(s, 2), jnp.delete(s, slice(1, 3)), jnp.delete(g, 1, axis=1), jnp.delete(s, np.array([0, 0, 3])),
        jnp.delete(g, 1), jnp.delete(s, -1), jnp.delete(s, np.array([True, False, True, False, False, False]))
    jnp.delete(s, i[:2], assume_unique_indices=True)
    jnp.insert(s, 2, 5), jnp.insert(g, 1, 7.0, axis=1), jnp.insert(s, np.array([0, 3]), np.array([8, 9])),
        jnp.insert(g, 0, f[:3], axis=0), jnp.insert(s, slice(0, 2), 1),
        jnp.insert(s, np.array([2]), np.array([1, 2, 3]))
    jnp.insert(s, 9, 1), jnp.insert(s, -9, 1)
""")
def test_expressions(expression):
    agree(expression)


@cases("""
    jnp.trim_zeros(np.array([0, 0, 1, 2, 0])), jnp.trim_zeros(np.array([0, 1, 0]), 'f'), jnp.delete(s, i[0]),
        jnp.delete(s, i[1])
    jnp.array_split(f, 7), jnp.repeat(f, jnp.abs(i)), jnp.insert(s, i[0], 5)
""")
def test_concrete_values_only(expression):
    agree(expression, jitted=False)


@cases("""
    jnp.pad(f, 1), jnp.pad(f, (1, 2)), jnp.pad(g, ((1, 0), (0, 2))), jnp.pad(f, 2, constant_values=3),
        jnp.pad(g, 1, constant_values=((1, 2), (3, 4))), jnp.pad(i, 1, mode='empty')
    jnp.pad(f, 2, mode='edge'), jnp.pad(g, ((1, 2), (2, 0)), mode='edge'), jnp.pad(f, 6, mode='wrap'),
        jnp.pad(g, 1, mode='wrap'), jnp.pad(f, (3, 5), mode='wrap')
    jnp.pad(f, 3, mode='reflect'), jnp.pad(f, 7, mode='reflect'), jnp.pad(f, 2, mode='reflect', reflect_type='odd'),
        jnp.pad(g, 2, mode='reflect'), jnp.pad(f, 9, mode='reflect', reflect_type='odd')
    jnp.pad(f, 3, mode='symmetric'), jnp.pad(f, 9, mode='symmetric'),
        jnp.pad(f, 3, mode='symmetric', reflect_type='odd'), jnp.pad(g, ((1, 1), (4, 2)), mode='symmetric')
    jnp.pad(f, 3, mode='linear_ramp'), jnp.pad(f, 2, mode='linear_ramp', end_values=5),
        jnp.pad(g, (1, 2), mode='linear_ramp', end_values=(1, 2)), jnp.pad(i, 3, mode='linear_ramp')
    jnp.pad(f, 2, mode='maximum'), jnp.pad(g, 1, mode='minimum'), jnp.pad(f, 2, mode='mean'),
        jnp.pad(i, 1, mode='mean'), jnp.pad(f, 1, mode='median'), jnp.pad(s, 2, mode='maximum', stat_length=2),
        jnp.pad(s, 1, mode='median')
    jnp.pad(f, 1, mode=lambda v, width, axis, kw: v.at[:width[0]].set(7))
    jnp.pad(f, 1, mode='nope')
    jnp.pad(f, 1, mode='edge', constant_values=1)
    jnp.pad(f, -1)
    jnp.pad(f, 1.5)
    jnp.pad(g, ((1, 1), (1, 1), (1, 1)))
    jnp.pad(f, 1, 'constant', constant_values=x), jnp.pad(h, 1), jnp.pad(b, 1)
""")
def test_pad(expression):
    agree(expression)


@cases("""
    jax.grad(lambda v: jnp.sum(jnp.roll(v, 1) * q))(f),
        jax.grad(lambda v: jnp.sum(jnp.pad(v, 2, mode='reflect') ** 2))(f)
    jax.grad(lambda v: jnp.sum(jnp.repeat(v, 2) ** 2))(f), jax.vmap(lambda r: jnp.tile(r, 2))(g),
        jax.vmap(jnp.flip)(g)
    jax.vmap(lambda r: jnp.concatenate([r, f]))(g), jax.vmap(lambda r, k: jnp.roll(r, k))(g, i[:2])
""")
def test_transformed(expression):
    agree(expression, jitted=False)

"""The only part of Cyxla that imports jaxlib: clients, devices, compilation, execution, buffers, the disk cache.

Importing any of these modules loads no jaxlib; the first call that needs it does (0.11 s and 80 MB). jax is never
imported, not even by jaxlib, which does so by name in places: see `xla.without_jax`.
"""

"""Timings of Cyxla beside jax. `python -m bench` runs all of it; arguments go to pytest, such as `-k eager`."""

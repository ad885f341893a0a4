"""Vectorization rules that the user gives: `custom_vmap` and `sequential_vmap`."""

from cyxla._transform.custom_vmap import custom_vmap as custom_vmap
from cyxla._transform.custom_vmap import sequential_vmap as sequential_vmap

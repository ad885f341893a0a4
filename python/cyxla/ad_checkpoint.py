"""What belongs to `cyxla.checkpoint`: policies, names of values, and what a function keeps for its backward pass."""

from cyxla._transform.checkpoint import checkpoint as checkpoint
from cyxla._transform.checkpoint import checkpoint as remat
from cyxla._transform.checkpoint import print_saved_residuals as print_saved_residuals
from cyxla._transform.checkpoint_policies import Offloadable as Offloadable
from cyxla._transform.checkpoint_policies import Recompute as Recompute
from cyxla._transform.checkpoint_policies import Saveable as Saveable
from cyxla._transform.checkpoint_policies import checkpoint_name as checkpoint_name
from cyxla._transform.checkpoint_policies import checkpoint_policies as checkpoint_policies

__all__ = [
    "Offloadable",
    "Recompute",
    "Saveable",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "print_saved_residuals",
    "remat",
]

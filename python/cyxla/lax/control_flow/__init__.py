"""Control flow whose branches and bodies are traced once: conditionals, loops, scans."""

from cyxla.lax.control_flow.associative import associative_scan
from cyxla.lax.control_flow.cond import cond, cond_p, platform_dependent, switch
from cyxla.lax.control_flow.loops import fori_loop, while_loop, while_p
from cyxla.lax.control_flow.roots import custom_root
from cyxla.lax.control_flow.scan import map, scan, scan_p
from cyxla.lax.control_flow.solves import custom_linear_solve, linear_solve_p

__all__ = [
    "associative_scan",
    "cond",
    "cond_p",
    "custom_linear_solve",
    "custom_root",
    "fori_loop",
    "linear_solve_p",
    "map",
    "platform_dependent",
    "scan",
    "scan_p",
    "switch",
    "while_loop",
    "while_p",
]

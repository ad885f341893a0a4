"""Gives the layers below what they compute with themselves: to add tangents, to align operands, to promote."""

from cyxla import lax
from cyxla._engine import autodiff, batching, staging, ufunc
from cyxla._transform import operations
from cyxla._transform.jaxprs import with_weakness
from cyxla.lax._util import like_output, unbroadcast, zeros_of
from cyxla.lax.binary import add_any_p, mul_p, ne_p
from cyxla.lax.convert import convert_element_type_p
from cyxla.lax.select import select_n_p
from cyxla.lax.shape import broadcast_in_dim_p, transpose_p
from cyxla.lax.unary import neg_p

autodiff.install_arithmetic(add_any_p, mul_p, neg_p, zeros_of, with_weakness, like_output, unbroadcast)
batching.install_movement(transpose_p, broadcast_in_dim_p)
staging.install_movement(broadcast_in_dim_p, transpose_p, (convert_element_type_p, select_n_p))
ufunc.install_conversion(convert_element_type_p, broadcast_in_dim_p, ne_p)
operations.install(lax)

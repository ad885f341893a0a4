"""Matrix decompositions, on LAPACK. Operands are matrices, or batches of them in leading dimensions."""

from cyxla.lax.linalg.general_eigen import EigImplementation as EigImplementation
from cyxla.lax.linalg.general_eigen import eig as eig
from cyxla.lax.linalg.general_eigen import eig_p as eig_p
from cyxla.lax.linalg.hermitian_eigen import EighImplementation as EighImplementation
from cyxla.lax.linalg.hermitian_eigen import eigh as eigh
from cyxla.lax.linalg.hermitian_eigen import eigh_p as eigh_p
from cyxla.lax.linalg.lu_decomposition import lu as lu
from cyxla.lax.linalg.lu_decomposition import lu_p as lu_p
from cyxla.lax.linalg.lu_decomposition import lu_pivots_to_permutation as lu_pivots_to_permutation
from cyxla.lax.linalg.lu_decomposition import lu_pivots_to_permutation_p as lu_pivots_to_permutation_p
from cyxla.lax.linalg.qr_decomposition import householder_product as householder_product
from cyxla.lax.linalg.qr_decomposition import householder_product_p as householder_product_p
from cyxla.lax.linalg.qr_decomposition import qr as qr
from cyxla.lax.linalg.qr_decomposition import qr_p as qr_p
from cyxla.lax.linalg.singular_values import SvdAlgorithm as SvdAlgorithm
from cyxla.lax.linalg.singular_values import svd as svd
from cyxla.lax.linalg.singular_values import svd_p as svd_p
from cyxla.lax.linalg.triangular import cholesky as cholesky
from cyxla.lax.linalg.triangular import cholesky_p as cholesky_p
from cyxla.lax.linalg.triangular import triangular_solve as triangular_solve
from cyxla.lax.linalg.triangular import triangular_solve_p as triangular_solve_p

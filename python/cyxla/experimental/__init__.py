"""Parts of the interface that may change."""

from cyxla._transform.callbacks import io_callback as io_callback

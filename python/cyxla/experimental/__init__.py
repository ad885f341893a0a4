"""Parts of the interface that may change."""

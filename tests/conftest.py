"""Puts this directory on the path, so that tests anywhere below it can import `compare`."""

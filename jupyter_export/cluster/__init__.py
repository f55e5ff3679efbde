"""Segments on a Dask cluster: the server's side, the worker's side, and what travels between."""

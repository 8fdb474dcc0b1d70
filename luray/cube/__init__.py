"""The predictor cube: maps, forcing and static inputs, each on its native grid, in one Zarr store.

`build` writes it from the sources by whole shards; `Cube` and `Region` read it by box and window.
"""

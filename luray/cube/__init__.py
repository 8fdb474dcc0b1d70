"""The predictor cube and the product cube: Zarr v3 stores, read by window and written by whole
shards.
"""

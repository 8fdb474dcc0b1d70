"""The product: annual maps in one Zarr store, written by whole shards with a receipt after each.

`ProductDims`, `Span` and `Trajectory` say what there is to compute, `ProductLayout` where it lies,
`Product` writes and reads it, `repair` checks it against its receipts.
"""

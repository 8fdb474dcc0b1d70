"""The explorer: a web page that draws a product straight from its Zarr store.

The page is TypeScript in `src`, built into `page` (`make explorer`), which ships in the wheel. The
modules here put it beside a product, and serve it on this machine.
"""

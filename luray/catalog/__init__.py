"""STAC catalogs: of products, which luray publishes, and of inputs, which it reads and writes."""

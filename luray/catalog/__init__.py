"""STAC catalogs: what luray publishes, and later what it reads."""

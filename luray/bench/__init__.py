"""Benchmarks that a user can run: `luray bench globe`."""

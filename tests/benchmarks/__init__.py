"""Benchmarks: every number is a ratio of two things measured in one run. `make bench` runs them
all.
"""

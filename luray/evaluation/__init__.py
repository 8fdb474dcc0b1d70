"""Evaluation of predicted maps: statistics of tiles, merged into tallies, and scores from them.

Everything here computes on arrays in memory; only `report` writes files.
"""

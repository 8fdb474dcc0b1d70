"""Evaluation: statistics of tiles, merged into tallies, turned into scores and a report. Only
`report` writes.
"""

"""Planning: what a build or an inference will take, counted before it runs.

Nothing is written and, but for `measure`, nothing is computed.
"""

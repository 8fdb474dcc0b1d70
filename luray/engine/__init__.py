"""The engine: predicts and reduces tile-years, and decides which may run where.

`serial` is the short definition that everything else equals to the bit. Nothing here imports Ray.
"""

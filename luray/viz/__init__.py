"""Pictures of a finished product: maps, charts, an animation. They read year by year and never the
whole cube.
"""

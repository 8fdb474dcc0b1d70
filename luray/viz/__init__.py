"""Pictures of a finished product: maps, charts and an animation.

They read the product year by year, never the whole of it.
"""

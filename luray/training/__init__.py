"""Training of the land-use model: which samples, in which order, by which loss, and how well.

The same code runs in a plain loop and on every Ray worker; Ray is only in `luray.distributed`.
"""

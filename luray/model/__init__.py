"""The land-use model: features, U-Net, training recipe and checkpoints. Arrays in memory only, no
Ray.
"""

"""The land-use model: its input features, the U-Net, its calibration and its files.

Arrays in memory only, no Ray. How a model comes to its weights is in `luray.training`.
"""

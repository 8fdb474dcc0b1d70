"""Grids, tiles, regridding, legends and types that every room uses; arrays in memory only."""

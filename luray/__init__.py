"""luray: annual land use at 1 km over the globe, 1850-2100."""

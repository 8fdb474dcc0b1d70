"""A small simulated world in the file formats of the real data sets, for demo and tests."""

"""Products in layouts of models and map tools: LUH2, FATES, CTSM, LPJ-GUESS, ecLand, COG, CF."""

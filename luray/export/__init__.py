"""Products in the layouts that models and map tools read: LUH2, FATES, CTSM, LPJ-GUESS, COG, CF."""

"""The page of a run, and every figure that it has the numbers for."""

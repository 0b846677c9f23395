"""What every check stands on: calling an answer, measuring it, and naming what is wrong with it."""

"""For a lecturer: editions of the notebooks, grades of what comes back, and a bank of questions."""

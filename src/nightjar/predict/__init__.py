"""Scores of people, as probabilities that hold, and decisions on them. NumPy, Arrow, LightGBM, scikit-learn, SciPy."""

"""Measures of a model's quality and cost at every picture size, the judges they use, and the tables they fill."""

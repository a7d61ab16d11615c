"""How good a model is: measures, judges, and tables by size."""

"""Training: batches, the loop, its folder, distillation, and the named runs."""

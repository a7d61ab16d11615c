"""The network: a noisy state at any size in, a function out."""

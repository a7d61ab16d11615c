"""Gaussian fields whose covariances are known: closed forms that tests of several folders compare with."""

import torch


def waves(reach=3, decay=1.5):
    """Variances of the waves of a Gaussian field, by a power law."""
    k = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return (1 + k[:, None] ** 2 + k**2) ** -decay


def covariance_matrix(gaussian, size):
    """Covariance of all samples of a state with all samples, from that with the first."""
    h, w = size
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return gaussian.covariance(size)[(y[:, None] - y) % h, (x[:, None] - x) % w]

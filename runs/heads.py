"""The command line of s2id with another reading head: what the default one is to be compared with.

    python runs/heads.py nearest train mnist --minutes 3 --out out/nearest

Names: nearest, linear (splines of degree 0 and 1, averaged over the cell like the cubic default); point (the cubic
without the average over the cell); told (the cubic, and the layers are told the cell's size as well); ensemble (LIIF's:
the layers on each of the 2x2 nearest samples with its offset and the cell, blended by area; Chen et al. 2021, arXiv
2012.09161, equations 2 to 4).
"""

import sys

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

import s2id.network.network
from s2id.cli.main import main
from s2id.coords import Grid
from s2id.linear import box_weights
from s2id.network.heads import Features, FieldHead, spline_weights


def linear_weights(position: Tensor, width: float, count: int) -> Tensor:
    """Like `spline_weights`, of degree 1."""

    def integral(u: Tensor) -> Tensor:
        u = u.clamp(-1, 1)
        return torch.where(u < 0, (1 + u) ** 2 / 2, 1 - (1 - u) ** 2 / 2)

    nodes = torch.arange(-4, count + 4, dtype=position.dtype)
    middle = position.clamp(-1.0, float(count))[:, None] - nodes
    width = max(width, 1e-6)
    weights = (integral(middle + width / 2) - integral(middle - width / 2)) / width
    ends = nodes.long().clamp(0, count - 1).expand(len(position), -1)
    return torch.zeros(len(position), count, dtype=position.dtype).scatter_add(1, ends, weights)


class Kernel(FieldHead):
    """The default's two layers after another interpolation."""

    kernel = staticmethod(spline_weights)

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Tensor:
        factor = supersample or features.supersample(grid.cell)
        grid = grid.refine(factor)
        rows, columns = features.weights(self.reading(grid), self.kernel)
        read = torch.einsum("bhwd,yh,xw->byxd", features.values, rows, columns)
        values = rearrange(self.layers(read, grid, features), "b h w c -> b c h w")
        return F.avg_pool2d(values if bound is None else values.clamp(-bound, bound), factor)

    def reading(self, grid: Grid) -> Grid:
        return grid

    def layers(self, read: Tensor, grid: Grid, features: Features) -> Tensor:
        return self.values(read)


class Nearest(Kernel):
    """Each feature sample is constant over its cell."""

    kernel = staticmethod(box_weights)


class Linear(Kernel):
    """Straight lines between samples."""

    kernel = staticmethod(linear_weights)


class Point(Kernel):
    """No mean over the cell."""

    def reading(self, grid: Grid) -> Grid:
        return Grid(grid.y, grid.x, (0.0, 0.0))


class Told(Kernel):
    """The layers hear the cell's size, in samples."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__(width, channels)
        self.hidden = nn.Linear(width + 2, width)

    def layers(self, read: Tensor, grid: Grid, features: Features) -> Tensor:
        cell = [c / p for c, p in zip(grid.cell, features.pitch, strict=True)]
        return self.values(torch.cat([read, read.new_tensor(cell).expand(*read.shape[:-1], 2)], dim=-1))


class Ensemble(FieldHead):
    """The layers on each of the nearest 2x2 samples, blended."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__(width, channels)
        self.hidden = nn.Linear(width + 4, width)

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Tensor:
        factor = supersample or features.supersample(grid.cell)
        grid = grid.refine(factor)
        axes, cell = [], []
        for points, width, pitch, count in zip(
            (grid.y, grid.x), grid.cell, features.pitch, features.values.shape[1:3], strict=True
        ):
            at = points / pitch + (count - 1) / 2
            low = at.floor()
            axes.append([(low + i, (at - low - i).to(features.values)) for i in (0, 1)])
            cell.append(width / pitch)
        total = torch.zeros(())
        for row, dy in axes[0]:
            for column, dx in axes[1]:
                index = [
                    a.long().clamp(0, n - 1) for a, n in zip((row, column), features.values.shape[1:3], strict=True)
                ]
                near = features.values[:, index[0]][:, :, index[1]]
                told = torch.stack(torch.broadcast_tensors(dy[:, None], dx, *near.new_tensor(cell)), dim=-1)
                values = self.values(torch.cat([near, told.expand(len(near), -1, -1, -1)], dim=-1))
                total = total + values * ((1 - dy.abs())[:, None] * (1 - dx.abs()))[..., None]
        if bound is not None:
            total = total.clamp(-bound, bound)
        return F.avg_pool2d(rearrange(total, "b h w c -> b c h w"), factor)


HEADS = {"nearest": Nearest, "linear": Linear, "point": Point, "told": Told, "ensemble": Ensemble}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in HEADS:
        sys.exit(f"usage: python runs/heads.py {{{','.join(HEADS)}}} train|evaluate ...")
    vars(s2id.network.network)["FieldHead"] = HEADS[sys.argv.pop(1)]
    main()

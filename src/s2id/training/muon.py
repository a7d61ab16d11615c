"""Muon: momentum whose matrices are made orthogonal before they move a weight, so that all directions learn alike.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon). torch's own makes each matrix orthogonal by itself and in bf16:
on a processor without products in bf16 that takes longer than forward and backward pass together. Here matrices of a
shape share one product, in fp32 on a CPU.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients that raise the small singular values fastest; the post's."""


def orthogonal(matrices: Float[Tensor, "n r c"], iterations: int = 5) -> Float[Tensor, "n r c"]:
    """Each matrix with its singular values all near one (0.7 to 1.2), by Newton-Schulz iterations.

    Args:
        matrices: Any, of one shape; zero stays zero.
        iterations: Of X <- a X + (b X X' + c (X X')^2) X.
    """
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = wide.bfloat16() if wide.is_cuda else wide.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _QUINTIC
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if wide is not matrices else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum made orthogonal, with decoupled weight decay.

    A step is scaled to the size that AdamW's usually has, so both share a learning rate (Liu et al. 2025,
    arXiv 2502.16982, equation 4).
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        """Set up.

        Args:
            matrices: Parameters of two axes.
            lr: Learning rate, as AdamW's.
            weight_decay: Share of a weight that goes per step, times `lr`.
            momentum: Share of the former gradients that stays.
        """
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the weights; those without a gradient stay."""
        found = None
        if closure is not None:
            with torch.enable_grad():
                found = closure()
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for shape, weights in alike.items():
                steps = orthogonal(torch.stack([self._momentum(w, group["momentum"]) for w in weights]))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, list(steps.unbind()), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)
        return found

    def _momentum(self, weight: Tensor, share: float) -> Tensor:
        """The gradient, looking ahead along the mean of all there were."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return weight.grad.lerp(state["momentum_buffer"].lerp_(weight.grad, 1 - share), share)

"""Muon: momentum that is made orthogonal before it moves a matrix, so that all directions are learned alike.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon). torch.optim.Muon makes each matrix orthogonal in a product of
its own and in bf16: on a processor without bf16 products that takes longer than forward and backward pass together.
Here all matrices of one shape share a product, in fp32 on a CPU.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan et al., which raise small singular values fastest."""


def orthogonal(matrices: Float[Tensor, "n r c"], iterations: int = 5) -> Float[Tensor, "n r c"]:
    """Matrices with the same singular vectors and all singular values near 1 (0.7 to 1.2).

    Args:
        matrices: Matrices of one shape; zero stays zero.
        iterations: Number of Newton-Schulz iterations X <- a X + (b X X' + c (X X')^2) X.

    Example:
        >>> matrices = torch.diag_embed(torch.tensor([[0.1, 2.0]]))
        >>> bool((orthogonal(matrices).diagonal(dim1=1, dim2=2) - 1).abs().max() < 0.4)
        True
    """
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = wide.bfloat16() if wide.is_cuda else wide.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _QUINTIC

    def beyond(gram: Tensor) -> Tensor:  # b G + c G^2
        return torch.baddbmm(gram, gram, gram, beta=b, alpha=c)

    if x.is_cuda or x.shape[2] < 2 * x.shape[1]:
        for _ in range(iterations):
            x = torch.baddbmm(x, beyond(x @ x.mT), x, beta=a)
    else:  # every iteration is a polynomial of X X', which is smaller than X; bf16 would lose its small eigenvalues
        gram, identity = x @ x.mT, torch.eye(x.shape[1], device=x.device)
        product = identity
        for _ in range(iterations):
            factor = a * identity + beyond(gram)
            product = factor @ product
            gram = factor @ (gram @ factor)
        x = product @ x
    return (x.mT if wide is not matrices else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Optimiser whose step is the orthogonalised Nesterov momentum, with decoupled weight decay.

    Steps are scaled to the usual size of AdamW's, so both take the same learning rate (Liu et al. 2025, arXiv
    2502.16982, equation 4).
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        """An optimiser of some matrices.

        Args:
            matrices: Parameters with two axes; or more, of which the last ones are taken together, as of convolutions.
            lr: Learning rate, on AdamW's scale.
            weight_decay: Each step multiplies weights by 1 - lr * weight_decay.
            momentum: Decay per step of the mean of past gradients, 0 to 1.
        """
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change every weight that has a gradient."""
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
                steps = orthogonal(torch.stack([self._momentum(w, group["momentum"]).flatten(1) for w in weights]))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                scale = 0.2 * max(steps.shape[1:]) ** 0.5
                torch._foreach_add_(weights, list(steps.unflatten(2, shape[1:]).unbind()), alpha=-group["lr"] * scale)
        return found

    def _momentum(self, weight: Tensor, share: float) -> Tensor:
        """Nesterov momentum: the gradient, blended with the mean of past gradients."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return weight.grad.lerp(state["momentum_buffer"].lerp_(weight.grad, 1 - share), share)

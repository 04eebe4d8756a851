"""What the workloads in PyTorch share: gradients by autograd, a convolution, and minissm's models."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minissm.layers import Fnn
from minissm.optim import decay_mask
from minissm.tree import flatten, named


def trained(forward: Callable, *arrays: Any) -> Callable:
    """run() -> y and the gradients of all arrays but the last, which is dy (None: y alone, without a graph)."""
    import torch

    *inputs, dy = arrays
    leaves = [a.detach().requires_grad_() for a in inputs]

    def run() -> tuple:
        if dy is None:
            with torch.inference_mode():
                return (forward(*inputs),)
        y = forward(*leaves)
        return y.detach(), *torch.autograd.grad(y, leaves, dy)

    return run


def convolved(k: Any, u: Any) -> Any:
    """k (D, K), u (B, L, D): y_t = sum_j k_j u_{t-j}."""
    import torch

    L = u.shape[1]
    n = L + k.shape[1] - 1
    n += n % 2
    y = torch.fft.irfft(torch.fft.rfft(u.transpose(1, 2), n=n) * torch.fft.rfft(k, n=n), n=n)
    return y[..., :L].transpose(1, 2)


class Network:
    """A minissm model of ssm, attn and fnn1 with its parameters: network(tokens (B, L), rows (R,)) -> (R, outputs).

    rows: places among the B L whose outputs are wanted; the others are not computed after the last mixer.
    by_fft: filters convolve by FFT, else they multiply by the Toeplitz matrices of their kernels.
    """

    def __init__(self, net: Any, params: dict, by_fft: bool) -> None:
        self.net, self.by_fft = net, by_fft
        self.params = {name: a.detach().clone().requires_grad_() for name, a in named(params)}
        self.last = max(i for i, block in enumerate(net.blocks) if not isinstance(block, Fnn))

    def __call__(self, tokens: Any, rows: Any) -> Any:
        from torch.nn import functional

        p = self.params
        x = functional.embedding(tokens, p["embed.w"])
        for i, block in enumerate(self.net.blocks):
            own = {name[len(f"blocks.{i}.") :]: a for name, a in p.items() if name.startswith(f"blocks.{i}.")}
            if isinstance(block, Fnn):
                hidden = functional.gelu(x @ own["0.w"] + own["0.b"], approximate="tanh")
                x = x + (hidden @ own["1.w"] + own["1.b"])
            else:
                x = x + (attn(own, x, block.heads) if hasattr(block, "heads") else self.ssm(own, x))
            if i == self.last:
                x = x.flatten(0, 1)[rows]
        return x @ p["head.w"] + p["head.b"]

    def ssm(self, p: dict, x: Any) -> Any:
        import torch

        u, L = x @ p["w_in"] + p["b_in"], x.shape[1]
        a = torch.complex(-torch.exp(p["filter.log_re"]), p["filter.im"]) * torch.exp(p["filter.log_dt"])[:, None]
        c = torch.view_as_complex(p["filter.c"]) * (2 / a.shape[1])
        k = (c.unsqueeze(-1) * torch.exp(a.unsqueeze(-1) * torch.arange(L, device=x.device))).sum(1).real
        if self.by_fft:
            v = convolved(k, u)
        else:
            padded = torch.nn.functional.pad(k.flip(-1), (0, L - 1))
            v = torch.einsum("ets,bse->bte", padded.unfold(-1, L, 1).flip(1), u)  # (E, t, s): k[t - s]
        return (v + p["skip"] * u) @ p["w_out"] + p["b_out"]


def attn(p: dict, x: Any, heads: int) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    B, L, D = x.shape
    qkv = (x + p["position"][:L]) @ p["in.w"] + p["in.b"]
    q, k, v = qkv.view(B, L, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
    o = scaled_dot_product_attention(q, k, v, is_causal=True)
    return o.transpose(1, 2).reshape(B, L, D) @ p["out.w"] + p["out.b"]


def training_step(network: Network, batch: tuple, checked: tuple, lr: float, clip: float) -> tuple[Callable, Callable]:
    """run() is one step with clipping and fused AdamW;  check() -> loss and gradient of the batch `checked`."""
    import torch

    leaves = list(network.params.values())
    decayed = [bool(decay_mask({name: np.ones(a.shape)}).all()) for name, a in network.params.items()]
    groups = [
        {"params": [a for a, d in zip(leaves, decayed, strict=True) if d == wanted], "weight_decay": 0.01 * wanted}
        for wanted in (True, False)
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=True)

    def moved(inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple:
        """Tokens, the places of the answers that count, those answers."""
        tokens, answers = (torch.from_numpy(np.ascontiguousarray(a)) for a in (inputs, targets))
        rows = torch.from_numpy(weights.ravel() > 0).nonzero().squeeze(-1)
        return tuple(a.to(leaves[0].device) for a in (tokens, rows, answers.flatten()[rows]))

    def backward(tokens: Any, rows: Any, answers: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(tokens, rows), answers)
        loss.backward()
        return loss.detach()

    timed, few = moved(*batch), moved(*checked)

    def run() -> Any:
        loss = backward(*timed)
        torch.nn.utils.clip_grad_norm_(leaves, clip)
        optimizer.step()
        return loss

    def check() -> tuple:
        loss = backward(*few)
        return loss, flatten([a.grad.cpu().numpy() for a in leaves])

    return run, check

"""minissm's models of SSMs, attention and FNNs in PyTorch, with the parameters of minissm, and their training step."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ....layers import Fnn
from ....optim import decay_mask
from ....train import CLIP
from ....tree import flatten, named
from ..case import Case, Method
from ..training import LR

Tree = Any


class Network(torch.nn.Module):
    """`net` with its `params`: x = x + block(x), the same tanh-GELU, and behind the last mixer only the rows asked for.

    by_fft: whether the SSMs convolve by FFT or multiply by the Toeplitz matrices of their kernels.
    """

    def __init__(self, net: Any, params: Tree, by_fft: bool) -> None:
        super().__init__()
        self.net, self.by_fft, self.names = net, by_fft, [name for name, _ in named(params)]
        leaves = [torch.nn.Parameter(torch.tensor(a)) for _, a in named(params)]
        self.leaves = torch.nn.ParameterList(leaves)
        self.last = max(i for i, b in enumerate(net.placed) if not isinstance(b, Fnn))

    def forward(self, tokens: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """tokens (B, L), rows (R,) places among the B L -> (R, outputs)."""
        p = dict(zip(self.names, self.leaves, strict=True))
        x = functional.embedding(tokens, p["embed.w"])
        for i, block in enumerate(self.net.placed):
            mine = {name[len(f"blocks.{i}.") :]: a for name, a in p.items() if name.startswith(f"blocks.{i}.")}
            if isinstance(block, Fnn):
                x = x + fnn(mine, x)
            else:
                x = x + (attn(mine, x, block.heads) if hasattr(block, "heads") else self.ssm(mine, x))
            if i == self.last:
                x = x.flatten(0, 1)[rows]
        return x @ p["head.w"] + p["head.b"]

    def ssm(self, p: Tree, x: torch.Tensor) -> torch.Tensor:
        u, L = x @ p["w_in"] + p["b_in"], x.shape[1]
        a = torch.complex(-torch.exp(p["filter.log_re"]), p["filter.im"]) * torch.exp(p["filter.log_dt"])[:, None]
        C = torch.view_as_complex(p["filter.c"]) * (2 / a.shape[1])
        k = (C.unsqueeze(-1) * torch.exp(a.unsqueeze(-1) * torch.arange(L, device=x.device))).sum(1).real
        if self.by_fft:
            v = torch.fft.irfft(torch.fft.rfft(u.transpose(1, 2), n=2 * L) * torch.fft.rfft(k, n=2 * L), n=2 * L)
            v = v[..., :L].transpose(1, 2)
        else:
            padded = functional.pad(k.flip(-1), (0, L - 1))
            matrix = padded.unfold(-1, L, 1).flip(1)  # (E, t, s): k[t - s]
            v = torch.einsum("ets,bse->bte", matrix, u)
        return (v + p["skip"] * u) @ p["w_out"] + p["b_out"]


def fnn(p: Tree, x: torch.Tensor) -> torch.Tensor:
    hidden = functional.gelu(x @ p["0.w"] + p["0.b"], approximate="tanh")
    return hidden @ p["1.w"] + p["1.b"]


def attn(p: Tree, x: torch.Tensor, heads: int) -> torch.Tensor:
    B, L, D = x.shape
    qkv = (x + p["position"][:L]) @ p["in.w"] + p["in.b"]
    q, k, v = qkv.view(B, L, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
    o = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return o.transpose(1, 2).reshape(B, L, D) @ p["out.w"] + p["out.b"]


def methods(case: Case) -> list[Method]:
    """By FFT, and where sequences are short by Toeplitz matrices too; models without an SSM know no difference."""
    L = case.arrays["tokens"].shape[1]
    if "ssm" not in case.more["net"].sentence:
        return [_method(case, "eager", True)]
    ways = [("eager, FFT", True)] + ([("eager, Toeplitz", False)] if L <= 128 else [])
    return [_method(case, name, by_fft) for name, by_fft in ways]


def place(case: Case) -> str:
    """torch's name for it. Products stay float32 there: torch takes TF32 for them only where it is asked to."""
    return "cuda" if case.place == "cupy" else "cpu"


def _method(case: Case, name: str, by_fft: bool) -> Method:
    network = Network(case.more["net"], case.more["params"], by_fft).to(place(case))
    leaves = list(network.parameters())
    optimiser = torch.optim.AdamW(_groups(case, leaves), lr=LR, weight_decay=0.01, fused=True)
    timed, checked = (_batch(arrays, place(case)) for arrays in (case.arrays, case.more["checked"]))

    def backward(tokens: torch.Tensor, rows: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(tokens, rows), wanted)
        loss.backward()
        return loss.detach()

    def run() -> torch.Tensor:
        loss = backward(*timed)
        torch.nn.utils.clip_grad_norm_(leaves, CLIP)
        optimiser.step()
        return loss

    def check() -> tuple:
        loss = backward(*checked)
        return loss, flatten([a.grad.cpu().numpy() for a in leaves if a.grad is not None])

    return Method(name, "torch", run, check)


def _batch(arrays: dict, where: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, the places of the answers that count, and those answers."""
    tokens, targets = (torch.from_numpy(np.ascontiguousarray(arrays[n])) for n in ("tokens", "targets"))
    rows = torch.from_numpy(arrays["weights"].ravel() > 0).nonzero().squeeze(-1)
    return tokens.to(where), rows.to(where), targets.flatten()[rows].to(where)


def _groups(case: Case, leaves: list) -> list[dict]:
    """The weight decay leaves alone what minissm's leaves alone."""
    mask = np.split(decay_mask(case.more["params"]), np.cumsum([math.prod(a.shape) for a in leaves])[:-1])
    decayed = [bool(m.all()) for m in mask]
    spared = {"params": [a for a, d in zip(leaves, decayed, strict=True) if not d], "weight_decay": 0.0}
    return [{"params": [a for a, d in zip(leaves, decayed, strict=True) if d]}, *([spared] if spared["params"] else [])]

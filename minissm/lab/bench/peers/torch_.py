"""The workloads in PyTorch, eager."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from ..case import Case
from . import torch_train

Named = Iterator[tuple[str, Callable[[], tuple]]]
SERIAL = False
LONGEST = 65536  # steps of a loop: each takes microseconds however few channels there are


def threads(n: int) -> None:
    torch.set_num_threads(n)


def has_card() -> bool:
    return torch.cuda.is_available()


def taken(run: Callable) -> int:
    """Bytes that its allocator takes from the card for a call, beyond what was in use before."""
    free()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    run()
    return torch.cuda.max_memory_reserved() - before


def free() -> None:
    torch.cuda.empty_cache()


def lti(case: Case) -> Named:
    """S4D as its authors publish it: the kernel from the Vandermonde matrix, the convolution by FFT."""

    def forward(log_lam: torch.Tensor, c: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        L = u.shape[1]
        k = (c.unsqueeze(-1) * torch.exp(log_lam.unsqueeze(-1) * torch.arange(L, device=u.device))).sum(1).real
        return convolved(k, u)

    yield "S4D by FFT", trained(case, forward)


def convolved(k: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """k (D, K), u (B, L, D): y_t = sum_j k_j u_{t-j}."""
    L = u.shape[1]
    n = L + k.shape[1] - 1
    n += n % 2
    y = torch.fft.irfft(torch.fft.rfft(u.transpose(1, 2), n=n) * torch.fft.rfft(k, n=n), n=n)
    return y[..., :L].transpose(1, 2)


def s6(case: Case) -> Named:
    """The loop of Mamba's slow path, with unbind: indexing x[:, t] would make its backward quadratic in L."""

    def forward(u: torch.Tensor, dt: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
        a = torch.exp(dt.unsqueeze(-1) * A)
        b = (dt * u).unsqueeze(-1) * B.unsqueeze(2)
        h, ys = torch.zeros_like(a[:, 0]), []
        for a_t, b_t, C_t in zip(a.unbind(1), b.unbind(1), C.unbind(1), strict=True):
            h = a_t * h + b_t
            ys.append((h @ C_t.unsqueeze(-1)).squeeze(-1))
        return torch.stack(ys, 1)

    yield "loop", trained(case, forward)


def recurrence(case: Case) -> Named:
    def forward(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        h, states = torch.zeros_like(a[:, 0]), []
        for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
            h = torch.addcmul(b_t, a_t, h)
            states.append(h)
        return torch.stack(states, 1)

    if case.arrays["a"].shape[1] <= LONGEST:
        yield "loop", trained(case, forward)


def window(case: Case) -> Named:
    yield "fft", trained(case, convolved)


def step(case: Case) -> Named:
    """In place, without a graph."""
    with torch.inference_mode():
        log_lam, c, u = tensors(case)
        lam, h = torch.exp(log_lam), torch.zeros(u.shape[1], *c.shape, dtype=c.dtype, device=c.device)

    @torch.inference_mode()
    def run() -> tuple:
        for u_t in u:
            h.mul_(lam).add_(u_t.unsqueeze(-1))
            y = (h * c).sum(-1).real
        return y, h

    yield "in place", run


def attend(case: Case) -> Named:
    def forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    yield "scaled_dot_product_attention", trained(case, forward)


def tensors(case: Case) -> list[torch.Tensor]:
    return [torch.from_numpy(a).to(torch_train.place(case)) for a in case.arrays.values()]


def trained(case: Case, forward: Callable) -> Callable[[], tuple]:
    """y and the gradients by autograd; y alone where the case has no backward, its own work where that is alone."""
    *inputs, dy = tensors(case)
    leaves = [a.detach().requires_grad_() for a in inputs]

    def run() -> tuple:
        if not case.backward:
            with torch.inference_mode():
                return (forward(*inputs),)
        y = forward(*leaves)
        return y.detach(), *torch.autograd.grad(y, leaves, dy)

    def alone(y: torch.Tensor) -> tuple:
        return y.detach(), *torch.autograd.grad(y, leaves, dy, retain_graph=True)

    return partial(alone, forward(*leaves)) if case.alone else run


METHODS = {
    "W1": lti,
    "W2": s6,
    "W3": recurrence,
    "W4": window,
    "W5": step,
    "W6": attend,
}
TRAINING = torch_train.methods

"""Does the suite notice? Small mistakes, of the kind one makes, are planted in copies of the library, one at a time.

Each must make a test fail; a mistake that passes is a missing test. The working tree is never touched. `pytest -m slow
-s tests/test_planted_mistakes.py` prints which test caught what.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ME = f"tests/{Path(__file__).name}"  # left out in the copies: it would see each planted text and nothing else
LIMIT = 600  # seconds for one run of pytest; the whole suite beside another run takes some 250


class Mistake(NamedTuple):
    """`old`, which stands once in minissm/`file`, becomes `new`; `tests` (test_<name>.py) should see it first."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MISTAKES = [
    # ---- the scan
    Mistake(
        "recurrent: no conjugate on the way back through lam",
        "scan/diagonal.py",
        "dh = dh * xp.conj(lam)",
        "dh = dh * lam",
        "scan",
    ),
    Mistake(
        "recurrent: no conjugate of the states in dlam",
        "scan/diagonal.py",
        "dh * xp.conj(states[t]), axis=0",
        "dh * states[t], axis=0",
        "scan",
    ),
    Mistake(
        "recurrent: dlam instead of dlog_lam",
        "scan/diagonal.py",
        "dlog_lam = dlam * xp.conj(lam)",
        "dlog_lam = dlam",
        "scan",
    ),
    Mistake(
        "recurrent: dc from the state before the input",
        "scan/diagonal.py",
        "dy_t * xp.conj(states[t + 1])",
        "dy_t * xp.conj(states[t])",
        "scan",
    ),
    Mistake(
        "recurrent: dc of the first sequence only",
        "scan/diagonal.py",
        "dc = dc + xp.sum(dy_t * xp.conj(states[t + 1]), axis=0)",
        "dc = dc + (dy_t * xp.conj(states[t + 1]))[0, ...]",
        "scan",
    ),
    Mistake(
        "recurrent: the gradient of the final state is dropped",
        "scan/diagonal.py",
        "dh = xp.zeros_like(h) if dh_last is None else dh_last",
        "dh = xp.zeros_like(h)",
        "scan",
    ),
    Mistake(
        "the initial state is ignored",
        "scan/diagonal.py",
        "return xp, xp.astype(h0, complex_), complex_",
        "return xp, xp.zeros_like(xp.astype(h0, complex_)), complex_",
        "scan fast_scan",
    ),
    Mistake(
        "plain chunked: the state is not carried from chunk to chunk",
        "scan/diagonal.py",
        "h = lam[..., q] * h + unpair(x_i",
        "h = unpair(x_i",
        "fast_scan scan",
    ),
    Mistake(
        "plain chunked: no conjugate of lam",
        "scan/diagonal.py",
        "dh = xp.conj(lam[..., q]) * dh + unpair(",
        "dh = lam[..., q] * dh + unpair(",
        "fast_scan scan",
    ),
    Mistake(
        "plain chunked: a short last chunk decays like a whole one",
        "scan/diagonal.py",
        "h = lam[..., q] * h + unpair(x_i",
        "h = lam[..., Q] * h + unpair(x_i",
        "fast_scan scan",
    ),
    Mistake(
        "fft: the convolution wraps around",
        "scan/diagonal.py",
        "fft_size(2 * L) - L",
        "fft_size(L) - L",
        "scan fast_scan",
    ),
    Mistake("fft: no conjugate of the spectrum", "scan/diagonal.py", "fdy * xp.conj(fk)", "fdy * fk", "scan fast_scan"),
    Mistake(
        "fft: no conjugate in dh0", "scan/diagonal.py", "dh0 = xp.conj(lam) * dh", "dh0 = lam * dh", "scan fast_scan"
    ),
    Mistake(
        "fft: the final state tells the inputs nothing",
        "scan/diagonal.py",
        "first(fdy * xp.conj(fk)) + pair(dh) @ transpose(into)",
        "first(fdy * xp.conj(fk))",
        "scan fast_scan",
    ),
    Mistake(
        "fft: dc without what the initial state adds",
        "scan/diagonal.py",
        "dc = xp.astype(dc_k + dc_e,",
        "dc = xp.astype(dc_k,",
        "scan fast_scan",
    ),
    Mistake(
        "the powers of lam start at one",
        "matrices.py",
        "v, step = xp.ones_like(lam), lam",
        "v, step = lam, lam",
        "scan fast_scan",
    ),
    Mistake(
        "the powers of lam in single precision",
        "matrices.py",
        "lam = xp.exp(log_lam)[..., None]",
        "lam = xp.astype(xp.exp(log_lam)[..., None], dtype)",
        "scan fast_scan",
    ),
    Mistake(
        "the gradient of the powers is off by one",
        "matrices.py",
        "j = xp.arange(n,",
        "j = 1 + xp.arange(n,",
        "scan fast_scan",
    ),
    Mistake(
        "no conjugate of c in the gradient of the kernel",
        "matrices.py",
        "dk * xp.conj(c)[..., None]",
        "dk * c[..., None]",
        "scan fast_scan",
    ),
    Mistake(
        "the Toeplitz matrix is transposed",
        "matrices.py",
        "return transpose(band(k, Q)[..., Q - 1 :])",
        "return band(k, Q)[..., Q - 1 :]",
        "scan fast_scan",
    ),
    Mistake(
        "the inputs of a chunk enter the state in reverse",
        "matrices.py",
        "rows(xp.flip(v[..., :-1], axis=-1))",
        "rows(v[..., :-1])",
        "scan fast_scan",
    ),
    Mistake(
        "the readout of the state without its conjugate",
        "matrices.py",
        "rows(xp.conj(c[..., None] * v[..., 1:]))",
        "rows(c[..., None] * v[..., 1:])",
        "scan fast_scan",
    ),
    Mistake(
        "fast chunked: the state is not carried from chunk to chunk",
        "fast/chunked.py",
        "np.multiply(lam, s[k], out=more)",
        "np.multiply(0 * lam, s[k], out=more)",
        "fast fast_scan",
    ),
    Mistake(
        "fast chunked: no conjugate from chunk to chunk",
        "fast/chunked.py",
        "dh[g], lam.conj(), transposes",
        "dh[g], lam, transposes",
        "fast fast_scan",
    ),
    Mistake(
        "fast chunked: no conjugate of the states",
        "fast/chunked.py",
        "s[i:j].conj() * ends",
        "s[i:j] * ends",
        "fast fast_scan",
    ),
    Mistake(
        "fast chunked: the last piece alone counts",
        "fast/chunked.py",
        "dout += dys.transpose",
        "dout[...] = dys.transpose",
        "fast fast_scan",
    ),
    Mistake(
        "fast chunked: the rest of a sequence says nothing to its chunks",
        "fast/chunked.py",
        "du[:, whole:], dh_last = back_rest(",
        "du[:, whole:], _ = back_rest(",
        "fast fast_scan",
    ),
    Mistake(
        "fast chunked: pieces share a state", "fast/chunked.py", "dh[...] = ds[0]", "dh[...] = ds[-1]", "fast fast_scan"
    ),
    Mistake(
        "one chunk: the initial state decays like after one input",
        "fast/short.py",
        "lam = v[L, :, None]",
        "lam = v[1, :, None]",
        "fast fast_scan",
    ),
    Mistake(
        "one chunk: the initial state says nothing to the powers",
        "fast/short.py",
        "dout, (h.conj() * dh).sum(axis=1)",
        "dout, 0 * (h.conj() * dh).sum(axis=1)",
        "fast fast_scan",
    ),
    Mistake(
        "the matrices of a chunk: no conjugate of c",
        "fast/chunk.py",
        "return c.conj() * dlog_lam, dc",
        "return c * dlog_lam, dc",
        "fast fast_scan",
    ),
    Mistake(
        "the matrices of a chunk: diagonals below instead of above",
        "fast/chunk.py",
        "(t - s == j)",
        "(s - t == j)",
        "fast fast_scan",
    ),
    Mistake(
        "fast fft: what wraps around is kept",
        "fast/fft.py",
        "fft_size(2 * u.shape[1])",
        "fft_size(u.shape[1])",
        "fast fast_scan",
    ),
    Mistake(
        "fast fft: the final state from the inputs in their order",
        "fast/fft.py",
        "levels.sums(x[:, L - 1 :: -1])",
        "levels.sums(x[:, :L])",
        "fast fast_scan",
    ),
    Mistake(
        "fast fft: the final state tells the inputs in the wrong order",
        "fast/fft.py",
        "levels.kernel(dh.conj())[:, ::-1], dlog_lam",
        "levels.kernel(dh.conj()), dlog_lam",
        "fast fast_scan",
    ),
    Mistake(
        "two levels: the start of a block is forgotten in the gradient",
        "fast/levels.py",
        "+ start * z",
        "+ 0 * start * z",
        "fast fast_scan",
    ),
    Mistake(
        "fast taps: windows overlap by one input too few",
        "fast/taps.py",
        "(*s.strides[:2], Q * s.itemsize, s.itemsize)",
        "(*s.strides[:2], (Q + 1) * s.itemsize, s.itemsize)",
        "fast fast_scan",
    ),
    Mistake(
        "fast taps: the past of what follows forgets the past",
        "fast/taps.py",
        "end[:, : U - new] = past[:, new:]",
        "end[:, : U - new] = past[:, : U - new]",
        "fast fast_scan",
    ),
    Mistake(
        "fast taps by fft: the past says nothing",
        "fast/taps.py",
        "layout.move(past[b].T, s[:, :U])",
        "layout.move(0 * past[b].T, s[:, :U])",
        "fast fast_scan",
    ),
    Mistake(
        "fast linear: chunks of zeros before the first",
        "fast/linear.py",
        "starts[:, 0] = start",
        "starts[:, 0] = 0",
        "fast_linear",
    ),
    Mistake(
        "fast linear: the steps beyond the last whole chunk start anew",
        "fast/linear.py",
        "starts[:, -1], h[:, rest])",
        "start, h[:, rest])",
        "fast_linear",
    ),
    Mistake(
        "fast linear: the factor of the wrong step at the start of a block",
        "fast/linear.py",
        "h[group, first - 1] if first else h0[group]",
        "h[group, first] if first else h0[group]",
        "fast_linear",
    ),
    Mistake(
        "fast linear: no conjugate of the states",
        "fast/linear.py",
        "h[group, before].conj()",
        "h[group, before]",
        "fast_linear",
    ),
    Mistake(
        "fast selective: blocks forget on the way back",
        "fast/selective.py",
        "dh[:, group] = _adjoint(a[:T], g[:T], dh[:, group], ag[:T])",
        "dh[:, group] = _adjoint(a[:T], g[:T], 0 * dh[:, group], ag[:T])",
        "fast_selective",
    ),
    Mistake(
        "fast selective: a block is computed again from the state after it",
        "fast/selective.py",
        "                    h[0] = starts[i, :, group]\n",
        "                    h[0] = starts[i + 1, :, group]\n",
        "fast_selective",
    ),
    Mistake(
        "fast selective: the first backward uses up what was kept",
        "fast/selective.py",
        "a if again else np.empty_like(a)",
        "a",
        "fast_selective",
    ),
    Mistake(
        "fast selective: the last group of the batch alone counts",
        "fast/selective.py",
        "dA += np",
        "dA = np",
        "fast_selective",
    ),
    Mistake(
        "the gradient of the final state brings its precision along",
        "scan/diagonal.py",
        "None if dh_last is None else xp.astype(dh_last, h.dtype)",
        "dh_last",
        "scan fast_scan",
    ),
    # ---- filters, ssm
    Mistake(
        "the gradient of a pole without its chain rule",
        "filters.py",
        "xp.real(dlog_lam) * dt * re",
        "xp.real(dlog_lam) * dt",
        "filters",
    ),
    Mistake("the poles grow", "filters.py", "-xp.exp(log_re)", "xp.exp(log_re)", "filters"),
    Mistake("the skip is dropped", "ssm.py", "v += skip * u", "v += 0", "ssm"),
    Mistake(
        "the skip tells the inputs nothing",
        "ssm.py",
        "du += skip * dv",
        "du += 0",
        "ssm",
    ),
    Mistake(
        "the steps are drawn uniformly",
        "filters.py",
        "rng.uniform(math.log(low), math.log(high), channels)",
        "np.log(rng.uniform(low, high, channels))",
        "filters",
    ),
    Mistake(
        "real poles count twice",
        "filters.py",
        'scale = (2 if "im" in p else 1) / re.shape[1]',
        "scale = 2 / re.shape[1]",
        "filters",
    ),
    Mistake(
        "the poles of inv are off by one",
        "filters.py",
        "(2 * N / (2 * n + 1) - 1)",
        "(2 * N / (2 * n + 2) - 1)",
        "filters",
    ),
    Mistake(
        "poles in single precision",
        "filters.py",
        "(xp.astype(p[k], xp.float64) for k",
        "(xp.astype(xp.astype(p[k], xp.float32), xp.float64) for k",
        "filters",
    ),
    # ---- layers
    Mistake("the bias is not added", "layers.py", 'y += p["b"]\n    y = xp', "y = xp", "layers"),
    Mistake(
        "the bias gets the gradient of one token",
        "layers.py",
        '"b": column_sums(dys)}',
        '"b": dys[0, :]}',
        "layers",
    ),
    Mistake("relu lets everything back", "layers.py", "lambda dy: dy * on", "lambda dy: dy", "layers"),
    Mistake("two digits of gelu's constant change places", "layers.py", "0.044715\n", "0.044175\n", "layers"),
    Mistake("gelu's derivative has a wrong constant", "layers.py", "6 * b * (x * x)", "2 * b * (x * x)", "layers"),
    Mistake("fnn gives its gradients backwards", "layers.py", "return dp[::-1], dy", "return dp, dy", "layers"),
    Mistake(
        "rms_norm: the scale counts as a constant",
        "layers.py",
        "r * (dn - n * xp.mean(dn * n, axis=-1, keepdims=True))",
        "r * dn",
        "layers",
    ),
    Mistake(
        "layer_norm: the mean counts as a constant",
        "layers.py",
        "r * (dm - xp.mean(dn, axis=-1, keepdims=True))",
        "r * dm",
        "layers",
    ),
    Mistake(
        "layer_norm: another epsilon",
        "layers.py",
        "xp.mean(m * m, axis=-1, keepdims=True) + 1e-5",
        "xp.mean(m * m, axis=-1, keepdims=True) + 1e-6",
        "layers",
    ),
    Mistake(
        "a repeated token gets the gradient of its last place only",
        "layers.py",
        "one_hot(xp, tokens, w.shape[0], w.dtype).T @ flat(dy)",
        "xp.stack([xp.sum(flat(dy)[tokens == v][-1:], axis=0) for v in range(len(w))])",
        "layers",
    ),
    Mistake(
        "positions off by one", "layers.py", "x + w[first:end, :]", "x + xp.roll(w, 1, axis=0)[first:end, :]", "layers"
    ),
    Mistake(
        "positions get the gradient of one sequence",
        "layers.py",
        "dw[first:end, :] += xp.sum(dy, axis=0)",
        "dw[first:end, :] += dy[0, ...]",
        "layers",
    ),
    Mistake("He's draw by the outputs", "layers.py", "math.sqrt(2 / n), (n, m)", "math.sqrt(2 / m), (n, m)", "layers"),
    Mistake(
        "a linear draw by the outputs",
        "layers.py",
        "bound = 1 / math.sqrt(inputs)",
        "bound = 1 / math.sqrt(outputs)",
        "layers",
    ),
    # ---- attention
    Mistake(
        "a token does not see itself",
        "attention.py",
        "None] < place[None, :]",
        "None] <= place[None, :]",
        "fast_attention",
    ),
    Mistake(
        "every token sees all", "attention.py", "None] < place[None, :]", "None] < 0 * place[None, :]", "fast_attention"
    ),
    Mistake(
        "attention without the square root",
        "attention.py",
        "(q * (1 / math.sqrt(q.shape[3])))",
        "(q * (1 / q.shape[3]))",
        "fast_attention",
    ),
    Mistake(
        "the Jacobian of softmax is its diagonal",
        "attention.py",
        "a * (da - xp.sum(a * da, axis=-1, keepdims=True))",
        "a * da",
        "fast_attention",
    ),
    Mistake("dq without the scale", "attention.py", "(dz @ k) * scale", "dz @ k", "fast_attention"),
    Mistake(
        "attention's fast path: a tile that is not the first goes without its mask",
        "fast/attention.py",
        "low, high = max(i, diagonal), min(e, diagonal + width)",
        "low, high = max(i, diagonal), min(e, diagonal + width, len(tile))",
        "fast_attention",
    ),
    Mistake(
        "attention's fast path: the queries are those of the first places",
        "fast/attention.py",
        "diagonal = L - S + block.start",
        "diagonal = block.start",
        "fast_attention",
    ),
    Mistake(
        "attention's fast path: the largest score is not in what the backward goes by",
        "fast/attention.py",
        "largest + np.log(sums[:, -1])",
        "np.log(sums[:, -1])",
        "fast_attention",
    ),
    Mistake(
        "attention's fast path: the longest key alone decides that scores are small",
        "fast/attention.py",
        "math.sqrt(np.vecdot(scaled, scaled).max() * np.vecdot(k, k).max()) < SMALL",
        "math.sqrt(np.vecdot(k, k).max()) < SMALL",
        "fast_attention",
    ),
    Mistake(
        "attention's fast path: large scores below 0 are taken for small",
        "fast/attention.py",
        "small = L > 1 and a.min(initial=0) > -SMALL and a.max(initial=0) < SMALL",
        "small = L > 1 and a.max(initial=0) < SMALL",
        "fast_attention",
    ),
    Mistake(
        "attention's fast path: all weights are kept",
        "fast/attention.py",
        "if L == 1 or L * S <= AT_ONCE else",
        "if L == 1 or L * S <= AT_ONCE**2 else",
        "fast_attention",
    ),
    Mistake(
        "keys and values change places",
        "attention.py",
        "[join_heads(dq), join_heads(dk), join_heads(dv)]",
        "[join_heads(dq), join_heads(dv), join_heads(dk)]",
        "attention",
    ),
    # ---- losses
    Mistake(
        "the weights of the loss are not normalised",
        "losses.py",
        "w = (w / xp.sum(w))[..., None]",
        "w = w[..., None]",
        "losses",
    ),
    Mistake(
        "the loss over all tokens",
        "losses.py",
        "w = xp.astype(weights, logits.dtype)",
        "w = xp.ones_like(logits[..., 0])",
        "losses",
    ),
    Mistake(
        "the loss in double precision",
        "losses.py",
        "w = xp.astype(weights, logits.dtype)",
        "w = xp.astype(weights, xp.float64)",
        "losses",
    ),
    Mistake(
        "the loss overflows", "losses.py", "z = logits - xp.max(logits, axis=-1, keepdims=True)", "z = logits", "losses"
    ),
    Mistake(
        "the loss lets a target just beyond the vocabulary through",
        "losses.py",
        "targets.max() < V",
        "targets.max() <= V",
        "losses",
    ),
    # ---- optim
    Mistake("adamw: the first moment keeps its bias", "optim.py", "(lr / (1 - b1**n)) * step", "lr * step", "optim"),
    Mistake(
        "adamw: the second moment keeps its bias",
        "optim.py",
        "xp.sqrt(v) * (1 / math.sqrt(1 - b2**n)) + eps",
        "xp.sqrt(v) + eps",
        "optim",
    ),
    Mistake(
        "adamw: the count stands still",
        "optim.py",
        "AdamWState(n, m, v, state.decayed)",
        "AdamWState(state.n, m, v, state.decayed)",
        "optim",
    ),
    Mistake(
        "adamw: the decay without the rate",
        "optim.py",
        "(lr * decay) * (state.decayed * w)",
        "decay * (state.decayed * w)",
        "optim",
    ),
    Mistake("adamw: filters decay", "optim.py", '{"filter", "skip"}', '{"skip"}', "optim"),
    Mistake("adamw: skips decay", "optim.py", '{"filter", "skip"}', '{"filter"}', "optim"),
    Mistake(
        "adamw: the gradient in its own order",
        "optim.py",
        "tree.flatten(grads, like=params)",
        "tree.flatten(grads)",
        "optim",
    ),
    Mistake(
        "adamw: a rate of NumPy's makes doubles",
        "optim.py",
        "lr, eps, decay = float(lr), float(eps), float(decay)",
        "lr, eps, decay = lr, eps, decay",
        "optim train",
    ),
    Mistake(
        "clip by the largest entry", "optim.py", "norm = xp.sqrt(xp.sum(g * g))", "norm = xp.max(xp.abs(g))", "optim"
    ),
    Mistake(
        "clip makes small gradients larger",
        "optim.py",
        "limit / xp.where(norm > limit, norm, limit)",
        "limit / norm",
        "optim",
    ),
    Mistake(
        "the warm-up starts at zero",
        "optim.py",
        "(step + 1) / (warmup * steps + 1)",
        "step / (warmup * steps + 1)",
        "optim",
    ),
    Mistake("the cosine falls to zero", "optim.py", "((1 - last) * 0.5 *", "(0.5 *", "optim"),
    Mistake(
        "adamw: the epsilon under the root",
        "optim.py",
        "xp.sqrt(v) * (1 / math.sqrt(1 - b2**n)) + eps",
        "xp.sqrt(v + eps) * (1 / math.sqrt(1 - b2**n))",
        "optim",
    ),
    Mistake("rows are put back a place too early", "layers.py", 'side="right"', 'side="left"', "layers"),
    Mistake("the rows are dropped behind the first block", "model.py", "i == last", "i == 0", "model"),
    Mistake("fnn's slope forgets the gate", "fast/fnn.py", "    a += s\n", "    a += 0 * s\n", "fast"),
    Mistake("fnn: a bias gets the gradient of the last rows", "fast/fnn.py", 'dp["b"] +=', 'dp["b"][:] =', "fast"),
    # ---- tasks
    Mistake(
        "copying: <COPY> overwrites the last letter",
        "tasks/sequences.py",
        "sequence[t == size + 1] = COPY",
        "sequence[t == size] = COPY",
        "tasks",
    ),
    Mistake(
        "copying: the longest word never comes",
        "tasks/sequences.py",
        "rng.integers(min_len, max_len + 1, (n, 1))",
        "rng.integers(min_len, max(max_len, min_len + 1), (n, 1))",
        "tasks",
    ),
    Mistake(
        "copying: one length a batch",
        "tasks/sequences.py",
        "rng.integers(min_len, max_len + 1, (n, 1))",
        "np.full((n, 1), rng.integers(min_len, max_len + 1))",
        "tasks",
    ),
    Mistake(
        "copying: the weights one place late",
        "tasks/sequences.py",
        "again[:, 1:].astype",
        "again[:, :-1].astype",
        "tasks",
    ),
    Mistake(
        "copying: the targets are the tokens",
        "tasks/sequences.py",
        "Batch(sequence[:, :-1], sequence[:, 1:],",
        "Batch(sequence[:, 1:], sequence[:, 1:],",
        "tasks",
    ),
    Mistake(
        "recall: the queries in the order of the pairs",
        "tasks/sequences.py",
        "asked = rng.random((n, pairs)).argsort(axis=1)[:, :queries]",
        "asked = np.broadcast_to(np.arange(queries), (n, queries))",
        "tasks",
    ),
    Mistake(
        "recall: keys may come twice",
        "tasks/sequences.py",
        "key = rng.random((n, keys)).argsort(axis=1)[:, :pairs]",
        "key = rng.integers(0, keys, (n, pairs))",
        "tasks",
    ),
    Mistake(
        "recall: a key has the same value in every sequence",
        "tasks/sequences.py",
        "keys + rng.integers(0, values, (n, pairs))",
        "keys + key % values",
        "tasks",
    ),
    Mistake(
        "recall: the floor of one who knows nothing",
        "tasks/sequences.py",
        "floor = most_frequent(pairs, values) / pairs",
        "floor = 1 / values",
        "tasks",
    ),
    Mistake(
        "a task ignores the seed",
        "tasks/task.py",
        "self.draw(rng, n)",
        "self.draw(np.random.default_rng(0), n)",
        "tasks",
    ),
    Mistake(
        "copying: the last letter never comes",
        "tasks/sequences.py",
        "rng.integers(PAD + 1, PAD + 1 + letters,",
        "rng.integers(PAD + 1, PAD + max(2, letters),",
        "tasks",
    ),
    Mistake(
        "recall: the last value never comes",
        "tasks/sequences.py",
        "rng.integers(0, values, (n, pairs))",
        "rng.integers(0, max(1, values - 1), (n, pairs))",
        "tasks",
    ),
    # ---- model, training, comparison
    Mistake(
        "the residual is forgotten",
        "model.py",
        "y + z if self.residual else z\n            if",
        "z\n            if",
        "model",
    ),
    Mistake("the gradient of the residual is forgotten", "model.py", "dy + dx if self.residual else dx", "dx", "model"),
    Mistake(
        "the gradients of the norms come backwards", "model.py", '"norms": dnorms[::-1]', '"norms": dnorms', "model"
    ),
    Mistake(
        "the memories are reversed",
        "model.py",
        'f if self.memory == "graded" else 1 - f',
        '1 - f if self.memory == "graded" else f',
        "model",
    ),
    Mistake(
        "training does not clip",
        "train.py",
        "optim.clip(optim.gradient_vector(params, grads), clip)",
        "optim.clip(optim.gradient_vector(params, grads), math.inf)",
        "train",
    ),
    # ---- a training on a device
    Mistake(
        "a loss that broke between two reads is not looked for step by step",
        "train.py",
        "        if steps == 1:\n",
        "        if steps:\n",
        "train",
    ),
    Mistake(
        "the generators don't go back with a training",
        "train.py",
        "        rng.bit_generator.state, watch.bit_generator.state = known.draw, known.watch\n",
        "",
        "train",
    ),
    Mistake(
        "the losses are read after every step on a device too",
        "train.py",
        'stride = 1 if is_numpy(namespace(params["embed"]["w"])) else READ',
        "stride = 1",
        "train device",
    ),
    Mistake(
        "a checkpoint holds losses that were not read",
        "train.py",
        "due or now.done + 1",
        "now.done + 1",
        "train",
    ),
    Mistake(
        "Ctrl-C leaves losses that were not read",
        "train.py",
        "plan.settle(known, now, rng, watch)._replace(seconds",
        "now._replace(seconds",
        "train",
    ),
    Mistake(
        "a training step waits for its loss",
        "train.py",
        "    return params, state, loss\n",
        "    return params, state, loss * (1 if loss == loss else 2)\n",
        "device",
    ),
    Mistake(
        "clipping waits for the norm",
        "optim.py",
        "    limit = float(limit)\n    return",
        "    limit = float(limit) if norm > 0 else 1.0\n    return",
        "device",
    ),
    Mistake(
        "an old driver is taken for a missing one",
        "gpu.py",
        "        if not driver:\n",
        "        if driver:\n",
        "gpu_errors",
    ),
    Mistake(
        "two CuPy packages are let through",
        "gpu.py",
        "    if len(found) > 1:\n",
        "    if len(found) > 2:\n",
        "gpu_errors",
    ),
    Mistake(
        "a run ignores its seed",
        "lab/compare.py",
        "np.random.default_rng([job.seed, i])",
        "np.random.default_rng([0, i])",
        "compare",
    ),
    Mistake(
        "a run is tested on what it was trained on",
        "lab/compare.py",
        "np.random.default_rng([job.seed, i])",
        "np.random.default_rng([job.seed, min(i, 1)])",
        "compare cli",
    ),
    Mistake(
        "the readout takes the norm of the first block",
        "model.py",
        'params["norms"][-1], y)\n        out',
        'params["norms"][0], y)\n        out',
        "model",
    ),
    Mistake(
        "a token beyond the vocabulary is let through",
        "model.py",
        "x.max() < (self.vocab or 0)",
        "x.max() <= (self.vocab or 0)",
        "model",
    ),
    Mistake(
        "whole sequences are judged where nothing is asked too",
        "train.py",
        "right = np.ones(counts.shape, bool)",
        "right = np.zeros(counts.shape, bool)",
        "train",
    ),
    Mistake(
        "one right token makes a whole sequence right",
        "train.py",
        "right.all(axis=1)",
        "right.any(axis=1)",
        "train",
    ),
    Mistake(
        "the best rate is the worst",
        "lab/report.py",
        "max(rates, key=lambda lr: median(rates[lr]))",
        "min(rates, key=lambda lr: median(rates[lr]))",
        "report",
    ),
    # ---- foundations
    Mistake(
        "the map of a dict in the order of its names",
        "tree.py",
        "for k in tree}",
        "for k in sorted(tree)}",
        "tree optim",
    ),
    Mistake(
        "a map ignores the names of the other trees",
        "tree.py",
        "*(o[k] for o in others)) for k in tree",
        "*(list(o.values())[i] for o in others)) for i, k in enumerate(tree)",
        "tree optim",
    ),
    Mistake(
        "complex numbers are always double",
        "backend.py",
        "return xp.complex64 if real == xp.float32 else xp.complex128",
        "return xp.complex128",
        "scan ssm",
    ),
    Mistake(
        "a file is put in place before it is written",
        "files.py",
        '        with os.fdopen(handle, "wb") as file:',
        '        os.replace(name, path)\n        name = os.fspath(path)\n        with os.fdopen(handle, "wb") as file:',
        "files checkpoint",
    ),
    Mistake(
        "a new file is for its owner alone",
        "files.py",
        "        os.chmod(name, 0o666 & ~_umask())\n",
        "",
        "files",
    ),
    Mistake(
        "a leaf is called by its last name",
        "tree.py",
        'f"{prefix}.{key}" if prefix else str(key)',
        "str(key)",
        "tree",
    ),
    Mistake(
        "gradcheck takes the same step for small leaves",
        "gradcheck.py",
        "min(1.0, max(size, least))",
        "1.0",
        "gradcheck",
    ),
    Mistake(
        "gradcheck looks along one direction",
        "gradcheck.py",
        "for _ in range(directions)]",
        "for _ in range(1)]",
        "gradcheck",
    ),
    Mistake(
        "gradcheck passes over nan",
        "gradcheck.py",
        "return self.error <= self.expected",
        "return not self.error > self.expected",
        "gradcheck",
    ),
    Mistake(
        "gradcheck looks at the real parts only",
        "gradcheck.py",
        "xp.real(xp.conj(x) * y)",
        "xp.real(x) * xp.real(y)",
        "gradcheck",
    ),
    Mistake(
        "gradcheck looks at the first input only",
        "gradcheck.py",
        "rows.append(max(checked, key=Row.badness))",
        "rows.append(max(checked, key=Row.badness) if i == 0 else rows[0])",
        "gradcheck",
    ),
    Mistake("gradcheck takes any dtype", "gradcheck.py", " or gradient.dtype != leaf.dtype", "", "gradcheck"),
    Mistake(
        "gradcheck calls backward once",
        "gradcheck.py",
        "(gradient != again) & (gradient == gradient)",
        "gradient != gradient",
        "gradcheck",
    ),
    # ---- windows
    Mistake(
        "taps: the window is one too long",
        "scan/taps.py",
        "for t in range(u.shape[1])]",
        "for t in range(u.shape[1])][:-1] * 2",
        "taps fast_scan",
    ),
    Mistake(
        "taps: the window starts one too late",
        "scan/taps.py",
        "s[..., t : t + U + 1], axis=-1)",
        "s[..., max(0, t - 1) : max(0, t - 1) + U + 1], axis=-1)",
        "taps fast_scan",
    ),
    Mistake(
        "taps: the kernel the wrong way round",
        "scan/taps.py",
        "oldest_first = xp.flip(k_, axis=-1)[:, None, :]",
        "oldest_first = k_[:, None, :]",
        "taps fast_scan",
    ),
    Mistake("taps: the past is not kept", "scan/taps.py", "s[..., s.shape[2] - U :]]", "s[..., :U]]", "taps fast_scan"),
    Mistake(
        "taps: the past given is ignored", "scan/taps.py", "    if past is None:", "    if True:", "taps fast_scan"
    ),
    Mistake(
        "taps: the cotangent of the last past is dropped",
        "scan/taps.py",
        "    if dpast is not None:",
        "    if False:",
        "taps fast_scan",
    ),
    Mistake(
        "taps: dk of the first sequence only",
        "scan/taps.py",
        "xp.sum(fdy * xp.conj(fs), axis=1)",
        "(fdy * xp.conj(fs))[:, 0, :]",
        "taps fast_scan",
    ),
    Mistake(
        "taps by fft: convolution where correlation is meant",
        "scan/taps.py",
        "F.irfft(fdy * xp.conj(fk), axis=-1)",
        "F.irfft(fdy * fk, axis=-1)",
        "taps fast_scan",
    ),
    Mistake(
        "taps by fft wrap around", "scan/taps.py", "fft_size(s.shape[2])", "fft_size(s.shape[2] - U)", "taps fast_scan"
    ),
    Mistake("trig: U for U + 1", "filters.py", "(2 * math.pi / (U + 1))", "(2 * math.pi / U)", "filters"),
    Mistake(
        "trig: phases in single precision",
        "filters.py",
        "first, second = (a[:, i, :] * w for i in range(2))",
        "first, second = (xp.astype(a[:, i, :] * w, xp.float32) for i in range(2))",
        "filters",
    ),
    Mistake(
        "trig: the slope of cos without its sign",
        "filters.py",
        "xp.stack([-xp.sin(first), xp.cos(second)], axis=1)",
        "xp.stack([xp.sin(first), xp.cos(second)], axis=1)",
        "filters",
    ),
    Mistake(
        "windows do not follow the place",
        "filters.py",
        "if place is None:\n            return self",
        "if True:\n            return self",
        "filters",
    ),
    # ---- the selective layer and the LSTM
    Mistake(
        "linear: no conjugate of the factor",
        "scan/linear.py",
        "g = g * _conj(a[:, t, ...])",
        "g = g * a[:, t, ...]",
        "fast_linear linear_scan",
    ),
    Mistake(
        "linear: the factor of the wrong step",
        "scan/linear.py",
        "xp.concat([h0[:, None, ...], h[:, :-1, ...]], axis=1)",
        "h",
        "fast_linear linear_scan",
    ),
    Mistake(
        "linear: the initial state is ignored",
        "scan/linear.py",
        "last, states = h0, []",
        "last, states = 0 * h0, []",
        "fast_linear linear_scan",
    ),
    Mistake(
        "s6: Euler for A",
        "selective.py",
        "xp.exp(dt[..., None] * A), dt * u",
        "1 + dt[..., None] * A, dt * u",
        "fast_selective selective",
    ),
    Mistake("s6: B without the step", "selective.py", "dt * u\n", "u\n", "fast_selective selective"),
    Mistake(
        "s6: the step's second use is forgotten",
        "selective.py",
        "xp.sum(dz * A, axis=-1) + dv * u",
        "xp.sum(dz * A, axis=-1)",
        "fast_selective selective",
    ),
    Mistake(
        "s6: softplus overflows",
        "selective.py",
        "xp.log1p(xp.exp(-xp.abs(x)))",
        "xp.log1p(xp.exp(x)) - xp.maximum(x, xp.zeros_like(x))",
        "fast_selective selective",
    ),
    Mistake("s6: B gets no way back to u", "selective.py", ' + dB @ p["w_b"].T', "", "fast_selective selective"),
    Mistake("lstm: the cell's cotangent is not carried", "lstm.py", 'p["w_h"].T, dc * f', 'p["w_h"].T, 0 * dc', "lstm"),
    Mistake("lstm: input and forget gate swapped", "lstm.py", "f * c + i * g", "i * c + f * g", "lstm"),
    # ---- pieces and steps
    Mistake(
        "attention: keys so far are forgotten",
        "attention.py",
        "k, v, given = k_new, v_new, 0\n    if state is not None:",
        "k, v, given = k_new, v_new, 0\n    if False:",
        "stream attention",
    ),
    Mistake(
        "attention: a state of None is given for the first piece's positions",
        "attention.py",
        'first = x.shape, state["filled"] if state is not None else 0',
        "first = x.shape, 0",
        "stream",
    ),
    Mistake(
        "attention: the cotangent of the keys is dropped",
        "attention.py",
        "    if dstate is not None:",
        "        if False:"[4:],
        "stream",
    ),
    Mistake(
        "attention: a step writes into what a run returned",
        "attention.py",
        "if filled == buffers[0].shape[2]:",
        "if filled > buffers[0].shape[2]:",
        "stream attention",
    ),
    Mistake(
        "the model does not count its tokens",
        "model.py",
        'x.shape[1] + (state["position"] if state is not None else 0)',
        "x.shape[1]",
        "stream",
    ),
    Mistake("states stay in the order of the way back", "model.py", "dbefore[::-1]", "dbefore", "stream"),
    Mistake(
        "an ssm starts anew at every piece",
        "ssm.py",
        "_sequences(xp, u, B, L), state)",
        "_sequences(xp, u, B, L), None)",
        "stream",
    ),
    Mistake(
        "a step of a model forgets the residual",
        "model.py",
        "y = y + z if self.residual else z\n                ",
        "y = z\n                ",
        "stream",
    ),
    Mistake("a step of a model forgets the norms", "model.py", "step_i(norm(p_norm, y)[0],", "step_i(y,", "stream"),
    Mistake("an ssm steps without its skip", "ssm.py", 'y = (v + p["skip"] * u) @', "y = v @", "stream"),
    Mistake(
        "a step of another batch", "scan/__init__.py", "u.shape != B + channels", "u.shape[1:] != channels", "step"
    ),
    Mistake(
        "plain step: the input decays at once",
        "scan/diagonal.py",
        "lam * h + u[..., None]",
        "lam * (h + u[..., None])",
        "step",
    ),
    Mistake("a step of taps forgets the last input", "scan/taps.py", "s[:, 1:, :]", "s[:, :-1, :]", "step"),
    Mistake("fast step: the input is imaginary", "fast/step.py", "[[1], [0]]", "[[0], [1]]", "step"),
    Mistake(
        "fast step: c without its conjugate", "fast/step.py", "np.exp(log_lam), c.conj()", "np.exp(log_lam), c", "step"
    ),
    Mistake(
        "fast step: writes into a state that it was given",
        "fast/step.py",
        'np.array(h, order="C")',
        "np.ascontiguousarray(h)",
        "step",
    ),
    Mistake(
        "fast step: a new state at every step",
        "fast/step.py",
        "np.multiply(h, lams, out=h)",
        "h[...] = h * lams",
        "step",
    ),
    # ---- timing
    Mistake(
        "timing: no pause between methods",
        "lab/timing.py",
        "            sleep(min(PAUSE, last / 4))\n",
        "",
        "bench",
    ),
    Mistake(
        "timing: every round has the same order",
        "lab/timing.py",
        "order.sample(list(runs), len(runs))",
        "list(runs)",
        "bench",
    ),
    Mistake(
        "timing: a time on a GPU is that of all calls of a turn",
        "lab/timing.py",
        " / 1e3 / calls]",
        " / 1e3]",
        "bench",
    ),
    Mistake(
        "timing: a time on a GPU begins while earlier work runs",
        "lab/timing.py",
        "        cuda.Device().synchronize()  # work",
        "        cuda.Device()  # work",
        "bench",
    ),
    Mistake(
        "bench: what takes too long is begun",
        "lab/bench.py",
        'scale * last["seconds"]["median"] < PATIENCE[asked]',
        'last["seconds"]["median"] < PATIENCE[asked]',
        "bench",
    ),
    # ---- the kernels for CuPy
    Mistake(
        "linear.cu: no conjugate of the factors on the way back",
        "fast/cuda/linear.cu",
        "return conj(factor);",
        "return factor;  // not conj",
        "cuda",
    ),
    Mistake(
        "linear.cu: da_0 forgets h0",
        "fast/cuda/linear.cu",
        "h[(L - 2 - s) * C] : *h0; }",
        "h[(L - 2 - s) * C] : T(0); }",
        "cuda",
    ),
    Mistake(
        "linear.cu: a piece begins where the tile begins",
        "fast/cuda/linear.cu",
        "                if (p == piece) mine = state;\n",
        "",
        "cuda",
    ),
    Mistake(
        "linear.cu: products that grow are taken",
        "fast/cuda/linear.cu",
        "__syncthreads_or(!is_tame(product) || !is_finite(end))",
        "__syncthreads_or(0)",
        "cuda",
    ),
    Mistake(
        "linear.cu: parts whose products grow run side by side",
        "fast/cuda/linear.cu",
        "alone[i] = grows;",
        "alone[i] = false;",
        "cuda",
    ),
    Mistake(
        "diagonal.cu: dlam with the state after the step",
        "fast/cuda/diagonal.cu",
        "dl = dl + g * conj(hs[i]);",
        "dl = dl + g * conj(hs[i + 1]);",
        "cuda",
    ),
    Mistake(
        "diagonal.cu: powers that grow are taken",
        "fast/cuda/diagonal.cu",
        "if (!is_tame(power[n * D + d])) return true;",
        "return false;",
        "cuda",
    ),
    Mistake(
        "cuda: a state from elsewhere is moved on where it lies",
        "fast/cuda/step.py",
        "mine = transpose(h).copy()",
        "mine = transpose(h)",
        "cuda",
    ),
    Mistake(
        "fast: CuPy's arrays go to NumPy's bodies",
        "fast/__init__.py",
        "CUPY.get(name) if is_cupy(xp) else None",
        "None",
        "cuda",
    ),
]


def planted(mistake: Mistake) -> str:
    """The text of the file with the mistake in it."""
    text = (ROOT / "minissm" / mistake.file).read_text()
    assert text.count(mistake.old) == 1, f"{mistake.file} has {text.count(mistake.old)} times {mistake.old!r}"
    return text.replace(mistake.old, mistake.new)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_planted_mistake_still_has_its_place(mistake):
    text = planted(mistake)
    if mistake.file.endswith(".py"):
        ast.parse(text)
    assert mistake.new != mistake.old
    assert all((ROOT / "tests" / f"test_{name}.py").exists() for name in mistake.tests.split())


def test_no_mistake_is_planted_twice():
    assert len({m.name for m in MISTAKES}) == len({(m.file, m.old, m.new) for m in MISTAKES}) == len(MISTAKES) >= 30


@contextmanager
def copied():
    """A copy of the repository, without what git, Python and pytest keep for themselves."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        unwanted = (".git", ".*_cache", "__pycache__", ".venv", ".hypothesis", "runs", "build", "dist", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*unwanted))
        yield copy


def first_failure(copy: Path, files: list[str]) -> str:
    """The first test of `files` that fails in the copy, "" where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-rfE", "-p", "no:cacheprovider", f"--ignore={ME}", *files]
    environment = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "300", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of the time of a short run is their import
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode == 0:
        return ""
    found = re.findall(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", done.stdout, re.MULTILINE)
    assert done.returncode == 1, done.stdout + done.stderr  # anything else is not a test that failed
    assert found, done.stdout + done.stderr
    return found[0]


def caught(mistake: Mistake) -> tuple[str, float]:
    """The first test that fails, of the mirrored files or else of all, and the seconds that it took."""
    start = time.perf_counter()
    with copied() as copy:
        (copy / "minissm" / mistake.file).write_text(planted(mistake))
        mirrored = [f"tests/test_{name}.py" for name in mistake.tests.split()]
        return first_failure(copy, mirrored) or first_failure(copy, []), time.perf_counter() - start


def untouched() -> str:
    """The first test that fails in a copy without a mistake, "" where all pass; and that the copy is what is tested."""
    with copied() as copy:
        probe = "import minissm; print(minissm.__file__)"
        environment = os.environ | {"PYTHONPATH": str(copy)}
        told = subprocess.run(
            [sys.executable, "-c", probe], cwd=copy, env=environment, capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == str(copy / "minissm" / "__init__.py")
        return first_failure(copy, [])


@pytest.mark.slow
def test_every_planted_mistake_is_caught_and_a_copy_without_one_passes():
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(untouched)
        outcomes = list(pool.map(caught, MISTAKES))
    print("\nmistake | file | caught by | seconds")
    for mistake, (test, seconds) in zip(MISTAKES, outcomes, strict=True):
        print(f"{mistake.name} | {mistake.file} | {test or 'NOTHING'} | {seconds:.1f}")
    assert plain.result() == ""
    assert [mistake.name for mistake, (test, _) in zip(MISTAKES, outcomes, strict=True) if not test] == []

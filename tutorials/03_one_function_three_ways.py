# %% [markdown]
# # 3. One function, three ways
#
# Tutorial 1 had two ways to compute the output of a filter: a loop over the tokens, and a sum with the kernel. The loop
# is short, and it needs few multiplications. Why does nobody run it in Python over a long sequence?
#
# - **Goals**: compute one filter in three ways that look nothing alike; count what each costs; carry a state from one
#   piece of a sequence to the next.
# - **You need**: tutorial 1 (state, pole, kernel, channel) and the first half of 2 (dt, S4D); products of matrices and
#   their rank; polynomials.
# - **Time**: 60 minutes.
#
# The library has three **modes** for the same filter:
#
# - `recurrent`: the loop, one token after the other.
# - `chunked`: products of matrices within short pieces of the sequence, and the recurrence from piece to piece.
# - `fft`: one product with the whole kernel, by the fast Fourier transform.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import irfft, rfft

import minissm as ms
from minissm.fast.parallel import threads
from minissm.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print
from minissm.scan.matrices import powers, state_matrices, toeplitz

rng = np.random.default_rng(0)

# %% [markdown]
# All three are called alike: `y, h_last, backward = mode(log_lam, c, u, h0)`, with the arrays of tutorial 1. h0 is the
# state before the first token; without it the state begins with zeros. (`backward` is for tutorial 4.) `ms.S4d` draws
# dt, a and c as a new model has them (`init`), and makes $\log\lambda = \Delta a$ of them. Double precision has 16
# digits. Expected: the modes agree in all but the last few of them.

# %%
B, L, D, N = 2, 500, 4, 8  # sequences, tokens, channels, poles a channel
filter_ = ms.S4d(poles=N)
(log_lam, c), _ = filter_(filter_.init(rng, D))
u = rng.normal(size=(B, L, D))
h0 = rng.normal(size=(B, D, N)) + 1j * rng.normal(size=(B, D, N))


def error(a, exact):
    """The largest difference, relative to the largest exact number."""
    return abs(a - exact).max() / abs(exact).max()


y, h_last, _ = ms.scan.recurrent(log_lam, c, u, h0)
for name, mode in ms.scan.MODES.items():
    y_mode, h_mode, _ = mode(log_lam, c, u, h0)
    print(f"{name:10s} y {error(y_mode, y):.1e}   last state {error(h_mode, h_last):.1e}")
    assert error(y_mode, y) < 1e-12
    assert error(h_mode, h_last) < 1e-12

# %% [markdown]
# `recurrent` is tutorial 1: $h_t = \lambda h_{t-1} + u_t$ and $y_t = \mathrm{Re} \sum_n c_n h_{t,n}$, in L steps of
# Python. Read it in `minissm/scan/diagonal.py`: the loop has four lines.
#
# ## All tokens at once: a matrix
#
# With the kernel, $y_t = \sum_{s \le t} k_{t-s}\, u_s$. This is a product $y = u\,T$, with the matrix
# $T_{st} = k_{t-s}$ for $t \ge s$, and 0 elsewhere. Row s is what token s gives to each output. Each diagonal holds one
# number: a **Toeplitz** matrix. Nothing stands below the main diagonal: the filter is **causal**, no output depends on
# a later token.
#
# ## chunked: small matrices
#
# The matrix has $L^2$ entries: too many for long sequences. Cut the sequence into **chunks** of Q tokens, and T into
# blocks of $Q \times Q$:
#
# - The blocks on the diagonal are the same small Toeplitz matrix $T_Q$: what a chunk gives to its own outputs.
# - A block to the right of it is what an earlier chunk gives to a later one. All of it goes through the state between
#   them, and the state is N complex numbers, or $2N$ real ones. So the rank of the block can't be above $2N$, however
#   large Q is. The block is a product of two thin matrices: `state_in` ($Q \times 2N$), from the chunk into the state,
#   and `state_out` ($2N \times Q$), from the state to the outputs.
#
# We take $N = 2$ and $Q = 16$. Expected: the rank is 4. `powers` gives $\lambda^0, \dots, \lambda^Q$, and
# `state_matrices` makes the thin matrices from them.

# %%
Q = 16
two, weights = log_lam[:, 1:3], c[:, 1:3]  # not pole 0, which is real and counts once
y, _, _ = ms.scan.recurrent(two, weights, u[:, : 4 * Q])
k, _ = ms.scan.kernel(two, weights, length=4 * Q)
T = toeplitz(k)[0]  # of channel 0
assert np.allclose(u[0, : 4 * Q, 0] @ T, y[0, :, 0])

v, _ = powers(two, Q + 1, complex)  # (D, N, Q + 1)
state_in, state_out, _ = state_matrices(weights, v)
assert np.linalg.matrix_rank(T[:Q, Q : 2 * Q]) == 4
assert np.allclose(state_in[0] @ state_out[0], T[:Q, Q : 2 * Q])

# %% [markdown]
# So a chunk takes two short lines. Here are the first two chunks by hand, from a state of zeros.
#
#     y  =  u_chunk T_Q  +  h state_out            what the chunk gives to itself, and what is left of the past
#     h  =  lam^Q h  +  u_chunk state_in           the state for the next chunk

# %%
chunk_1, chunk_2 = u[0, :Q, 0], u[0, Q : 2 * Q, 0]
h = chunk_1 @ state_in[0]
by_hand = chunk_1 @ T[:Q, :Q], chunk_2 @ T[:Q, :Q] + h @ state_out[0]
assert np.allclose(np.concatenate(by_hand), y[0, : 2 * Q, 0])

figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
axis.imshow(np.where(T == 0, np.nan, T), cmap="PuOr", vmin=-abs(T).max(), vmax=abs(T).max())
names = "$T_Q$", "state_in\nstate_out", "state_in\n$\\lambda^Q$\nstate_out", "state_in\n$\\lambda^{2Q}$\nstate_out"
for i, m in zip(*np.triu_indices(4), strict=True):
    label = {"ha": "center", "va": "center", "fontsize": 9, "bbox": {"facecolor": "white", "alpha": 0.8, "pad": 2}}
    axis.annotate(names[m - i], ((m + 0.5) * Q, (i + 0.5) * Q), **label)
axis.set(xlabel="output t", ylabel="token s", xticks=np.arange(0, 65, Q), yticks=np.arange(0, 65, Q))
axis.set_title("T in chunks: one small matrix, the rest through the state", fontsize=10.5)
axis.grid(color="0.6", linestyle="--")
plt.show()

# %% [markdown]
# ## fft: a product of polynomials
#
# Take the tokens, counted from 0, as the coefficients of a polynomial, $u(z) = u_0 + u_1 z + u_2 z^2 + \dots$. Make
# $k(z)$ of the kernel. In the product of the two, the coefficient of $z^t$ is $\sum_s u_s k_{t-s}$: the output.
# And *values* of polynomials are multiplied one by one: $y(z) = u(z)\, k(z)$ at each point z. The plan: compute the
# values of both at enough points, multiply them, and go back to coefficients.
#
# As points we take the n solutions of $z^n = 1$. The values there are the **Fourier transform** of the coefficients.
# There is a fast way to them: $u(z) = \mathrm{even}(z^2) + z\,\mathrm{odd}(z^2)$, and $z$ and $-z$ share $z^2$. So n
# values come from $n/2$ values of each half, with $n/2$ multiplications. The halves are halved in turn, $\log_2 n$
# times. Expected: $\frac n2 \log_2 n$ complex multiplications. (The way back takes the points $1/z$, and divides by n.)


# %%
def transform(x):
    """The values at the n solutions of z^n = 1, n a power of 2, and the number of complex multiplications."""
    if (n := len(x)) == 1:
        return x, 0
    (even, count_1), (odd, count_2) = transform(x[::2]), transform(x[1::2])
    turned = np.exp(-2j * np.pi * np.arange(n // 2) / n) * odd
    return np.concatenate([even + turned, even - turned]), count_1 + count_2 + n // 2


values, count = transform(u[0, :256, 0])
assert np.allclose(values, np.fft.fft(u[0, :256, 0]))
assert count == 256 / 2 * 8

# %% [markdown]
# How many points are enough? The product of u and k has $2L - 1$ coefficients. So $2L$ points are enough: one appends
# zeros (**padding**). With L points, $z^L = 1$, so $z^{L+t}$ can't be told from $z^t$. What runs past the end comes in
# again at the beginning, and the output depends on *future* tokens.
#
# How would one notice? The first test that comes to mind is an impulse at 0, whose output is the kernel. That test
# passes: nothing runs past the end. An impulse near the end, or a random input, doesn't.

# %%
L = 64
k, _ = ms.scan.kernel(log_lam[:1], c[:1], length=L)


def convolve(u, points):
    """The first L coefficients of the product. rfft is the transform of real numbers, and appends the zeros."""
    return irfft(rfft(u, points) * rfft(k[0], points), points)[:L]


first, late = np.eye(L)[0], np.eye(L)[L - 6]  # impulses
for name, x in {"impulse at 0": first, "impulse at L - 6": late, "random input": rng.normal(size=L)}.items():
    y, _, _ = ms.scan.recurrent(log_lam[:1], c[:1], x[None, :, None])
    short, padded = (error(convolve(x, points), y[0, :, 0]) for points in (L, 2 * L))
    print(f"{name:18s} error with L points {short:.1e}   with 2 L points {padded:.1e}")
    assert padded < 1e-12
    assert short < 1e-12 if name == "impulse at 0" else short > 0.1

figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
axis.axvline(L - 6, color="0.4", linestyle=":", linewidth=1.2, label="the impulse")
for i, points in enumerate((2 * L, L)):
    axis.plot(convolve(late, points), MARKS[i] + DASHES[i], color=COLOURS[i], markersize=4, label=f"{points} points")
axis.set(xlabel="token t", ylabel="output $y_t$")
axis.set_title("With too few points, the FFT answers before it is asked", fontsize=10.5)
axis.legend(frameon=False, loc="upper center")
plt.show()

# %% [markdown]
# ## What each costs
#
# We count real multiplications for one token and one channel. A product of two complex numbers takes 4. A row of n
# numbers times an $n \times m$ matrix takes $nm$. "Once" is the work on $\lambda$ and c of a channel (powers, kernel,
# `state_out`, $4N$ each; the transform of k). All sequences share it.
#
# | mode | multiplications a token and channel | steps of Python | once |
# |---|---|---|---|
# | `recurrent` | $4N + 4N = 8N$ ($\lambda h$, $c\,h$) | $L$ | |
# | `chunked` | $Q + 2N + 2N + 4N/Q$ ($T_Q$, state in, state out, $\lambda^Q h$) | $L/Q$ | $12NQ$ |
# | `fft` | $4 \log_2 2L + 4 + 2N + 2N$ (transforms, product, state in, state out) | 1 | $12NL + 2L\log_2 2L$ |
#
# The transforms: $\frac n2 \log_2 n$ complex multiplications are $2n \log_2 n$ real ones, and for real numbers half of
# them is enough (half of the values are conjugates of the others). u goes there, y comes back, with $n = 2L$. (Of
# $c\,h$ only the real part is needed, $2N$. NumPy multiplies the whole.)
#
# Is this what the library does? An array that counts finds out: NumPy calls its `__array_ufunc__` for each product.
# (Its code may be skipped.) `ms.reference()` makes the library run the code that you read, not a **fast path**, which
# is harder to read and gives the same result to rounding. `more`: what one sequence adds; `rest`: what none costs.


# %%
class Counted(np.ndarray):
    """An array that counts the real multiplications in products with it."""

    count = 0

    def __array_namespace__(self, api_version=None):  # for minissm: it computes like its base
        return np

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        plain = [np.asarray(x) for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc in (np.multiply, np.matmul) and all(x.ndim for x in plain):
            for_each = (1, 2, 4)[sum(map(np.iscomplexobj, plain))]
            Counted.count += for_each * result.size * (plain[0].shape[-1] if ufunc is np.matmul else 1)
        return result.view(Counted)

    def __array_function__(self, function, types, arguments, options):
        result = super().__array_function__(function, types, arguments, options)
        return result if result is None else result.view(Counted)


def counted(mode, B):
    """The multiplications of a mode for B sequences, without those of its transforms: SciPy doesn't show them."""
    Counted.count = 0
    arrays = log_lam, c, np.ones((B, L, D)), np.ones((B, D, N), complex)
    with ms.reference():
        mode(*(a.view(Counted) for a in arrays))
    return Counted.count


L, Q = 1024, 32  # Q: the library's
table = {"recurrent": 8 * N, "chunked": Q + 4 * N + 4 * N / Q, "fft": 4 * np.log2(2 * L) + 4 + 4 * N}
for (name, mode), once in zip(ms.scan.MODES.items(), (0, 12 * N * Q, 12 * N * L), strict=True):
    more = (counted(mode, 3) - counted(mode, 2)) / (L * D) + (4 * np.log2(2 * L) + 4) * (name == "fft")
    rest = (3 * counted(mode, 2) - 2 * counted(mode, 3)) / D  # without the transform of k
    print(f"{name:10s} counted {more:.1f}, table {table[name]:.1f}; once: counted {rest:.0f}, table {once}")
    assert np.isclose(more, table[name], rtol=0.01)
    assert np.isclose(rest, once, rtol=0.1)

# %% [markdown]
# So with $N = 8$ the counts are much the same. Now the time, with the fast paths, on one core: 8 sequences of 1024
# tokens, 16 channels, single precision, the lowest of nine runs. **The times belong to the machine that runs this
# cell.** They are shown, not asserted. Expected: the loop takes several times as long.

# %%
(log_lam, c), _ = filter_(filter_.init(rng, 16))
u = rng.normal(size=(8, L, 16)).astype("float32")
times = {name: [] for name in ms.scan.MODES}
with threads(1):
    for _ in range(9):
        for name, mode in ms.scan.MODES.items():
            start = time.perf_counter()
            mode(log_lam, c, u)
            times[name].append((time.perf_counter() - start) / u.size * 1e9)
figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
for i, name in enumerate(times):
    bar = axis.bar(f"{name}\n{table[name]:.0f} multiplications", min(times[name]), color=COLOURS[i])
    axis.bar_label(bar, fmt="%.0f ns")
axis.set(ylabel="nanoseconds a token and channel", ymargin=0.15)
axis.set_title("Much the same count, not the same time (this machine)", fontsize=10.5)
plt.show()

# %% [markdown]
# That is why nobody runs the loop in Python over a long sequence. Each of its L steps is half a dozen calls to NumPy. A
# call takes a while before it computes anything. Then it fetches each number from memory, and multiplies it once. A
# product of matrices is one call, and multiplies each number many times. How one asks for the multiplications decides,
# not their number. The loop is for reading, and for one token at a time. (*Inside* one program on a GPU or TPU a loop
# makes no calls, and keeps its state in fast memory. There it can be the best choice: Griffin, arXiv 2402.19427.)
#
# A model (tutorial 6) takes the mode as an argument, `net(params, x, mode="fft")`. Its default, "auto", looks at shapes
# alone: the loop for one token, chunks for more, the transform for more than 48 poles and 64 tokens.
#
# ## In pieces
#
# The state is all that a filter keeps. So a sequence can come in pieces: the last state of one piece is the h0 of the
# next, in any mode. Expected: the outputs of the whole. Those of the first piece don't wait for the rest.

# %%
x = u[:, :100].astype(float)
whole, h_whole, _ = ms.scan.fft(log_lam, c, x)
prefix, h, _ = ms.scan.chunked(log_lam, c, x[:, :70])
rest, h, _ = ms.scan.fft(log_lam, c, x[:, 70:99], h)
last, h, _ = ms.scan.recurrent(log_lam, c, x[:, 99:], h)
assert np.allclose(np.concatenate([prefix, rest, last], axis=1), whole)
assert np.allclose(h, h_whole)

# %% [markdown]
# ## To try
#
# 1. What is a good Q? Begin with `y, _, _ = ms.scan.chunked(log_lam, c, u, chunk=8)`, and take 4, 16, 64, 256, too: the
#    count of the table, and the time.
# 2. Feed 3000 tokens in pieces of 1000 with `fft`: `for piece in np.split(rng.normal(size=(1, 3000, 16)), 3, axis=1):`.
#    What goes wrong without h0, and at which tokens?
# 3. A fourth way: all states of one pole at once in $\log_2 L$ steps, by doubling. Which lines come after these three?
#    `lam, u = np.exp(log_lam[0, 1]), rng.normal(size=L)`, `h = u.astype(complex)`, `h[1:] = h[1:] + lam * h[:-1]`.

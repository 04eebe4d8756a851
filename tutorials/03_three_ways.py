# %% [markdown]
# # 3. One function, three ways
#
# The recurrence of a state space layer can be computed in three ways that look nothing alike:
#
# | mode | what it does |
# |---|---|
# | `recurrent` | the recurrence as it is written, one token after the other |
# | `fft` | one long convolution with the kernel, by the fast Fourier transform |
# | `chunked` | short convolutions within chunks, and the recurrence from chunk to chunk |
#
# They are one function: this tutorial checks that to rounding, takes each of them apart, and measures what they cost.
# The symbols are those of tutorial 1: u (B, L, D) input, y output, h state, k kernel, lam = exp(log_lam) poles, c
# output weights. Each channel has N poles, each chunk Q inputs.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import irfft, rfft
from threadpoolctl import threadpool_limits

import minissm as ms
from minissm.lab.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print
from minissm.scan.matrices import powers, state_matrices, toeplitz

rng = np.random.default_rng(0)

# %% [markdown]
# ## The same output and the same state
#
# All three are `y, h_last, backward = f(log_lam, c, u, h0)`. We draw the poles of four channels as the library does,
# an input of 500 tokens, and an initial state. In double precision the three should agree in all but the last few of
# 16 digits: y and the last state, with and without h0.

# %%
B, L, D, N = 2, 500, 4, 8
filter_ = ms.S4d(poles=N)
(log_lam, c), _ = filter_(filter_.init(rng, D))
u = rng.normal(size=(B, L, D))
h0 = rng.normal(size=(B, D, N)) + 1j * rng.normal(size=(B, D, N))


def error(a, exact):
    """The largest difference, relative to the largest exact value."""
    return abs(a - exact).max() / abs(exact).max()


for start in (None, h0):
    y, h_last, _ = ms.scan.recurrent(log_lam, c, u, start)
    for name, scan in ms.scan.MODES.items():
        y_mode, h_mode, _ = scan(log_lam, c, u, start)
        print(f"{name:10s} y {error(y_mode, y):.1e}   last state {error(h_mode, h_last):.1e}")
        assert error(y_mode, y) < 1e-12
        assert error(h_mode, h_last) < 1e-12

# %% [markdown]
# Is the agreement the same at every length, and in single precision? Single precision has 7 digits. We expect errors
# of a few 1e-7 for `chunked` and `fft`, measured against the recurrence in double precision. The recurrence itself is
# a little worse in single precision. It multiplies by a rounded lam at every token, and these roundings add up over
# the tokens that the memory spans.

# %%
lengths = (16, 64, 256, 1024)
errors = {}
for length in lengths:
    u_long = rng.normal(size=(1, length, D))
    exact, _, _ = ms.scan.recurrent(log_lam, c, u_long)
    for precision in ("float32", "float64"):
        for name, scan in ms.scan.MODES.items():
            y, _, _ = scan(log_lam, c, u_long.astype(precision))
            assert y.dtype == precision  # single precision stays single
            errors.setdefault((name, precision), []).append(error(y, exact))

assert max(errors["chunked", "float32"] + errors["fft", "float32"]) < 2e-6
assert max(errors["recurrent", "float32"]) < 2e-5
assert max(errors["chunked", "float64"] + errors["fft", "float64"]) < 1e-13

# %%
figure, axis = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for i, name in enumerate(ms.scan.MODES):
    style = {"marker": MARKS[i], "linestyle": DASHES[i], "color": COLOURS[i]}
    axis.loglog(lengths, errors[name, "float32"], label=f"{name}, float32", **style)
    if name != "recurrent":  # this one is what the others are compared with
        axis.loglog(lengths, errors[name, "float64"], label=f"{name}, float64", fillstyle="none", **style)
axis.set(xlabel="length L", ylabel="largest error / largest output", ylim=(1e-17, 1e-4))
axis.set_xticks(lengths, lengths)
axis.minorticks_off()
axis.set_title("Three ways to compute y, compared with the recurrence in float64", fontsize=10.5)
axis.grid(alpha=0.25)
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Why are `chunked` and `fft` better than that? They need the powers lam^j, and the library forms these in double
# precision, whatever the input is, and rounds them once. Formed in single precision, the angle of lam^4000 would be
# wrong in the fourth digit. A pole that turns without decay shows it:

# %%
log_turn = np.array([[1j]])  # one radian per token
exact = np.exp(1j * np.arange(4096))
formed_in_single = np.cumprod(np.full(4096, np.exp(log_turn[0, 0]), np.complex64)) / np.complex64(np.exp(1j))
rounded_once, _ = powers(log_turn, 4096, np.complex64)
print(f"formed in single {error(formed_in_single, exact):.1e}, rounded {error(rounded_once[0, 0], exact):.1e}")
assert error(formed_in_single, exact) > 1e-5
assert error(rounded_once[0, 0], exact) < 1e-7

# %% [markdown]
# ## recurrent
#
# This is tutorial 1: h <- lam h + u_t, y_t = Re sum c h, in L steps of Python. Read it in `minissm/scan/diagonal.py`:
# the loop has four lines.
#
# ## All tokens at once: the Toeplitz matrix
#
# Unrolled, the output is a convolution with the kernel k_j = Re sum_n c_n lam_n^j:
#
# $$ y_t = \sum_{s \le t} k_{t-s}\, u_s. $$
#
# Written as a matrix product this is y = u T, with T[s, t] = k[t - s] for t >= s and 0 elsewhere. Row s is the
# contribution of token s to every output t. Every diagonal holds one number (a Toeplitz matrix), and nothing stands
# below the main diagonal: the past does not know the future.

# %%
k, _ = ms.scan.kernel(log_lam, c, length=6)
T = toeplitz(k)  # (D, L, L)
print(T[0].round(2))
y, _, _ = ms.scan.recurrent(log_lam, c, u[:, :6])
assert np.allclose(u[0, :6, 0] @ T[0], y[0, :, 0])

# %% [markdown]
# ## chunked
#
# The matrix has L^2 entries; for long sequences that is too much. But most of it is not needed. Cut the sequence into
# chunks of Q tokens, and T into blocks of Q x Q:
#
# * The blocks on the diagonal are all the same small Toeplitz matrix: what a chunk does to itself.
# * A block above the diagonal is what an earlier chunk gives to a later one. It goes through the state, and the state
#   is N complex numbers, or 2 N real ones. So the rank of the block can't be above 2 N, however large Q is. The block
#   is a tall matrix times a flat one: `state_in` (Q x 2N) leads from the chunk into the state, `state_out` (2N x Q)
#   from the state to the outputs.
#
# We check the rank with N = 2 poles and Q = 16. Expected: 4. (We take poles 1 and 2 of the draw. Pole 0 does not turn,
# and a real pole counts once.)

# %%
Q = 16
short, weights = log_lam[:, 1:3], c[:, 1:3]  # N = 2
k, _ = ms.scan.kernel(short, weights, length=4 * Q)
T = toeplitz(k)[0]
print("rank of a block on the diagonal:", np.linalg.matrix_rank(T[:Q, :Q]))
print("rank of a block above it:", np.linalg.matrix_rank(T[:Q, Q : 2 * Q]))
assert np.linalg.matrix_rank(T[:Q, Q : 2 * Q]) == 4

# %% [markdown]
# `state_matrices` makes the two thin matrices from the powers of lam. Each complex number of the state is two real
# columns.

# %%
v, _ = powers(short, Q + 1, np.complex128)  # lam^0 .. lam^Q, (D, N, Q + 1)
state_in, state_out, _ = state_matrices(weights, v)
print("state_in", state_in[0].shape, "  state_out", state_out[0].shape)
assert np.allclose(state_in[0] @ state_out[0], T[:Q, Q : 2 * Q])

# %% [markdown]
# So a chunk needs two short steps. Both are small matrix products, which computers do fast:
#
#     y      <-  u_chunk T_Q  +  h state_out          what the chunk does to itself, and what the past still adds
#     h      <-  lam^Q h      +  u_chunk state_in     the state for the next chunk
#
# Here are the first two chunks by hand, from a state of zeros.

# %%
T_Q = T[:Q, :Q]
chunk_1, chunk_2 = u[0, :Q, 0], u[0, Q : 2 * Q, 0]
y_1 = chunk_1 @ T_Q
h = chunk_1 @ state_in[0]
y_2 = chunk_2 @ T_Q + h @ state_out[0]

y, _, _ = ms.scan.chunked(short, weights, u[:1, : 2 * Q], chunk=Q)
assert np.allclose(np.concatenate([y_1, y_2]), y[0, :, 0])

# %% [markdown]
# The picture: left the matrix of 4 chunks, right which part of it is computed how.

# %%
figure, (matrix, parts) = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
limit = abs(T).max()
image = matrix.imshow(np.where(T == 0, np.nan, T), cmap="gray", vmin=-limit, vmax=limit)
matrix.set_title("T[s, t] = k[t - s]: from token s to output t", fontsize=10.5)
figure.colorbar(image, ax=matrix, shrink=0.75)
chunk_of = np.arange(4 * Q) // Q
kind = np.sign(chunk_of[None, :] - chunk_of[:, None]).astype(float)  # 0 on the diagonal, 1 above
kind[np.tril_indices(4 * Q, -1)] = np.nan
parts.imshow(kind, cmap="gray", vmin=-1.5, vmax=1.2)
parts.set_title("... and how a chunked scan computes it", fontsize=10.5)
for i in range(4):
    parts.annotate("$T_Q$", (i * Q + 10, i * Q + 5), color="white", ha="center", va="center")
    for m in range(i + 1, 4):
        between = ("", "$\\lambda^Q$\n", "$\\lambda^{2Q}$\n")[m - i - 1]
        center = ((m + 0.5) * Q - 0.5, (i + 0.5) * Q - 0.5)
        parts.annotate(f"state_in\n{between}state_out", center, ha="center", va="center", fontsize=8)
for axis in (matrix, parts):
    for cut in np.arange(1, 4) * Q - 0.5:
        axis.axhline(cut, color="0.5", linewidth=0.8, linestyle="--")
        axis.axvline(cut, color="0.5", linewidth=0.8, linestyle="--")
    axis.set(xlabel="output t", ylabel="token s", xticks=np.arange(0, 65, Q), yticks=np.arange(0, 65, Q))
plt.show()

# %% [markdown]
# ## fft, and why it is padded
#
# The Fourier transform turns a convolution into a product: transform u and k, multiply, transform back. That costs
# L log L instead of L^2. But the transform of L numbers treats them as one turn of a wheel: after the last comes the
# first again. Responses that run past the end come in again at the beginning, so the output is wrong by
#
# $$ \sum_{s > t} k_{L+t-s}\, u_s, $$
#
# which is what the *future* tokens give. The cure is to append L zeros: then what comes around falls on the zeros, and
# the first L numbers are right. (The full convolution has 2 L - 1 numbers, so 2 L are enough.)

# %%
L = 64
k, _ = ms.scan.kernel(log_lam[:1], c[:1], length=L)


def convolve(u, k, size):
    """The first L numbers of the convolution on a wheel of `size` numbers (rfft appends the zeros)."""
    return irfft(rfft(u, size) * rfft(k, size), size)[: len(u)]


def compare(u):
    """The error without and with padding, against the recurrence."""
    y, _, _ = ms.scan.recurrent(log_lam[:1], c[:1], u[None, :, None])
    return error(convolve(u, k[0], L), y[0, :, 0]), error(convolve(u, k[0], 2 * L), y[0, :, 0])


# %% [markdown]
# How would one notice a missing padding? The first test that comes to mind is an impulse at 0: its output is the
# kernel. That test passes! No token but the first is there, so nothing comes around. A random input, or an impulse
# near the end, shows the error at once.

# %%
first, late = np.zeros(L), np.zeros(L)
first[0], late[L - 6] = 1, 1
for name, u_test in {"impulse at 0": first, "impulse at L - 6": late, "random input": rng.normal(size=L)}.items():
    circular, padded = compare(u_test)
    print(f"{name:18s} error without padding {circular:.1e}   with padding {padded:.1e}")
    assert padded < 1e-12
    assert circular < 1e-12 if name == "impulse at 0" else circular > 0.1

# %%
figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
axis.axvline(L - 6, color="0.4", linestyle=":", linewidth=1.2)
axis.annotate("the impulse", (L - 6, 0.97), xycoords=("data", "axes fraction"), ha="right", va="top", rotation=90)
wrong, right = convolve(late, k[0], L), convolve(late, k[0], 2 * L)
axis.plot(wrong, MARKS[1], linestyle=DASHES[1], color=COLOURS[1], markersize=4, label="length L: it comes around")
axis.plot(right, MARKS[0], linestyle=DASHES[0], color=COLOURS[0], markersize=3, label="padded to 2 L")
axis.set(xlabel="token t", ylabel="output y")
axis.set_title("An output that comes before its input: the FFT without padding", fontsize=10.5)
axis.legend(frameon=False, loc="upper center")
plt.show()

# %% [markdown]
# Two more things are easily overlooked. With a short memory only the first few outputs are wrong, and a mean over the
# sequence hides them. And `irfft` without the length assumes an even one: for an odd length it gives one number too
# few. (The library's 2 L is always even.)

# %%
filter_short = ms.S4d(poles=N, dt=(0.9, 1.0))
poles_short, _ = filter_short(filter_short.init(rng, 1))
k_short, _ = ms.scan.kernel(*poles_short, length=L)
u_test = rng.normal(size=L)
off = abs(convolve(u_test, k_short[0], L) - convolve(u_test, k_short[0], 2 * L))
print("errors with a short memory:", off[[0, 4, 8, 16, 32]])
assert off[:4].max() > 1e-2
assert off[40:].max() < 1e-6

assert len(irfft(rfft(np.ones(7)))) == 6
assert len(irfft(rfft(np.ones(7)), 7)) == 7

# %% [markdown]
# ## What each costs
#
# Counted in real multiplications, for B sequences, D channels and N poles per channel:
#
# | mode | multiplications | and |
# |---|---|---|
# | `recurrent` | B L D N | in L steps of Python, each of which costs some microseconds |
# | `chunked` | B L D (Q + N) | as products of matrices |
# | `fft` | B D L log L, and D N L for the kernel | the kernel is shared by the B sequences |
#
# All grow (nearly) in proportion to L. The price of one multiplication differs. In a matrix product it is a small
# fraction of a nanosecond. In a step of Python on small arrays most of the time goes into Python itself.
#
# We measure on one thread: the better of two runs, forward alone and forward with backward. **The numbers belong to
# the machine that runs this cell**, and so does the figure. Yours will differ, and on a busy machine nothing is
# certain. So no time is asserted. Expected: the recurrence is the slowest at L = 1024, because of Python's steps.

# %%
B, D, N = 8, 16, 8
filter_ = ms.S4d(poles=N)
(log_lam, c), _ = filter_(filter_.init(rng, D))


def forward(scan, u):
    scan(log_lam, c, u)


def both(scan, u):
    y, _, backward = scan(log_lam, c, u)
    backward(y)


def seconds(work, *args):
    """The better of two runs after one that warms up."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        work(*args)
        found.append(time.perf_counter() - start)
    return min(found[1:])


times = {}
with threadpool_limits(limits=1):
    for length in lengths:
        u = rng.normal(size=(B, length, D)).astype(np.float32)
        for name, scan in ms.scan.MODES.items():
            for work in (forward, both):
                times.setdefault((name, work), []).append(seconds(work, scan, u))

for (name, work), found in times.items():
    print(f"{name:10s} {work.__name__:8s}", "  ".join(f"{1e3 * t:9.3f} ms" for t in found))

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained", sharey=True)
titles = ("forward", "forward and backward")
for axis, work, title in zip(axes, (forward, both), titles, strict=True):
    for i, name in enumerate(ms.scan.MODES):
        found = 1e3 * np.array(times[name, work])
        style = {"marker": MARKS[i], "linestyle": DASHES[i], "color": COLOURS[i]}
        axis.loglog(lengths, found, label=f"{name}: {found[-1]:.3g} ms at L = {lengths[-1]}", **style)
    axis.set_xticks(lengths, lengths)
    axis.minorticks_off()
    axis.set(xlabel="length L")
    axis.set_title(f"{title} (one thread, this machine)", fontsize=10.5)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=9, loc="upper left", handlelength=3)
axes[0].set(ylabel=f"milliseconds (B = {B}, D = {D}, N = {N}, float32)")
axes[0].set_ylim(top=30 * max(max(found) for found in times.values()) * 1e3)
plt.show()

# %% [markdown]
# `mode="auto"` chooses from the length and the number of poles alone. It never measures, so a result does not depend
# on the machine. One token is one step of the recurrence. Longer inputs go in chunks, until N is so large that carrying
# the state costs more than a transform.

# %%
few, many = (ms.Poles(*2 * [np.zeros((32, N), complex)]) for N in (8, 1000))  # 8 and 1000 poles a channel
assert ms.scan.pick("auto", (64, 1, 32), few) is ms.scan.recurrent
assert ms.scan.pick("auto", (64, 1000, 32), few) is ms.scan.chunked
assert ms.scan.pick("auto", (64, 1000, 32), many) is ms.scan.fft

# %% [markdown]
# ## One input at a time
#
# A model that generates makes the next input from its last output. Neither chunks nor a transform help then. A step of
# the recurrence does, and the state is all that it remembers. `scan.stepper` computes exp(log_lam) once and returns the
# step.

# %%
poles = ms.Poles(log_lam, c)
step = ms.scan.stepper(poles, "float64")
u = rng.normal(size=(2, 50, D))
y, _, _ = ms.scan.fft(log_lam, c, u)
state = ms.scan.start(poles, 2, "float64")
for t in range(50):
    y_t, state = step(u[:, t], state)
    assert abs(y_t - y[:, t]).max() < 1e-10
print("remembered between two steps:", state.shape, "instead of all inputs so far")

# %% [markdown]
# ## In a model, and in a debugger
#
# A model takes the mode as an argument of the call. Same parameters, same tokens, same function.

# %%
net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=8, width=8)
params = net.init(rng)
tokens = rng.integers(0, 8, (2, 200))
exact, _ = net(params, tokens, mode="recurrent")
for mode in ("chunked", "fft", "auto"):
    y, _ = net(params, tokens, mode=mode)
    print(f"{mode:8s} {error(y, exact):.1e}")
    assert error(y, exact) < 1e-5  # single precision, through four blocks

# %% [markdown]
# To watch the computation in a debugger, use `mode="recurrent"`: on NumPy arrays it always runs the loop that you read.
#
#     import pdb
#     pdb.runcall(ms.scan.recurrent, log_lam, c, u)    # stops at the first line of recurrent
#     # n: next line, s: step into a call, p h.shape: print, w: where am I, c: continue, q: quit
#
# `chunked`, `fft` and `stepper` have a reference body in `minissm/scan/diagonal.py`. On NumPy they take a fast path in
# `minissm/fast/`, which is harder to read. Inside `with ms.reference():` every function runs its reference body. The
# results agree to rounding.

# %%
fast, _, _ = ms.scan.chunked(log_lam, c, u)
with ms.reference():
    reference, _, _ = ms.scan.chunked(log_lam, c, u)
print(f"fast path and reference body differ by {error(fast, reference):.1e}")
assert error(fast, reference) < 1e-12

# %% [markdown]
# The environment variable `MINISSM_REFERENCE=1` does the same to a whole program. The checks of this tutorial hold
# either way. Only the times change:
#
#     MINISSM_REFERENCE=1 python tutorials/03_three_ways.py

# %% [markdown]
# ## To try
#
# * Set Q to 8 or 128 in `ms.scan.chunked(..., chunk=Q)` and time it. Why is there a best Q? (Look at the table above.)
# * Set N to 512 and measure again: which mode gains?
# * Feed 3000 tokens in pieces of 1000 with `fft`, handing h_last to the next piece as h0. Is the output that of one
#   call? What would go wrong without h0?

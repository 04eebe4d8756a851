# %% [markdown]
# # Answers to tutorial 3, one function, three ways

# %%
import time

import numpy as np

import minissm as ms

rng = np.random.default_rng(0)
N = 8
filter_ = ms.S4d(poles=N)
(log_lam, c), _ = filter_(filter_.init(rng, 16))  # 16 channels


def error(a, exact):
    """The largest difference, relative to the largest exact number."""
    return abs(a - exact).max() / abs(exact).max()


# %% [markdown]
# ## 1. What is a good Q?
#
# The count $Q + 4N + 4N/Q$ is smallest where $Q = 4N/Q$, at $Q = 2\sqrt N = 5.7$. But such small matrices aren't worth
# a call of NumPy each, and there are $L/Q$ steps. So the best time is at a larger Q, which depends on the machine. Far
# above it $T_Q$ costs more than it saves: at $Q = 256$ the count is 288, against 65 at the library's 32.

# %%
u = rng.normal(size=(8, 1024, 16)).astype("float32")
exact, _, _ = ms.scan.recurrent(log_lam, c, u.astype(float))
counts = {}
for Q in (4, 8, 16, 32, 64, 256):
    counts[Q] = Q + 4 * N + 4 * N / Q
    runs = []
    for _ in range(5):
        start = time.perf_counter()
        y, _, _ = ms.scan.chunked(log_lam, c, u, chunk=Q)
        runs.append(time.perf_counter() - start)
    print(f"Q {Q:3d}   count {counts[Q]:5.1f}   {1e3 * min(runs):6.2f} ms (this machine)")
    assert error(y, exact) < 1e-5  # the same function for every Q
assert counts[4] == counts[8] == 44  # on both sides of the smallest
assert counts[32] == 65
assert round(counts[256]) == 288

# %% [markdown]
# ## 2. Pieces of 1000 with `fft`
#
# With the state handed on, the pieces are the whole. Without it each piece begins with an empty memory. The first piece
# is right, and the others are wrong at their beginnings, for as long as the memory reaches.

# %%
whole_input = rng.normal(size=(1, 3000, 16))
whole, _, _ = ms.scan.fft(log_lam, c, whole_input)
h, handed_on, forgotten = None, [], []
for piece in np.split(whole_input, 3, axis=1):
    y, h, _ = ms.scan.fft(log_lam, c, piece, h)
    handed_on.append(y)
    forgotten.append(ms.scan.fft(log_lam, c, piece)[0])
assert np.allclose(np.concatenate(handed_on, axis=1), whole)

off = abs(np.concatenate(forgotten, axis=1) - whole).max(axis=(0, 2))  # a number for each token
print("errors without h0:", {t: f"{off[t]:.1e}" for t in (999, 1000, 1100, 1999, 2000)})
assert off[:1000].max() < 1e-10
assert off[1000:1010].max() > 0.1
assert off[2000:2010].max() > 0.1
slowest = np.exp(log_lam.real.max())  # the largest |lam|
print(f"after 900 tokens the slowest state has shrunk to {slowest**900:.3f}, the error to {off[1900] / off[1000]:.3f}")
assert off[1900:2000].max() < 0.1 * off[1000:1100].max()

# %% [markdown]
# ## 3. All states by doubling
#
# After the first line h holds, at every t, the last two tokens, weighted as the state weighs them. Such a sum and the
# one that ends two tokens earlier, times $\lambda^2$, make the last four tokens. Then eight, and so on: $\log_2 L$
# steps reach all of them. Each takes 4 multiplications a token and pole: $4N \log_2 L$ in all, 320 with $N = 8$ and
# $L = 1024$, against $4N$ in the loop. On a processor with thousands of lanes fewer steps are worth it. (Mamba's paper
# computes its recurrence on a GPU by a parallel scan: as few steps, and less work than this.)

# %%
L = 1024
lam, u = np.exp(log_lam[0, 1]), rng.normal(size=L)
h, reach, steps = u.astype(complex), 1, 0
while reach < L:
    h[reach:] = h[reach:] + lam**reach * h[:-reach]  # the right side is computed before anything is written
    reach, steps = 2 * reach, steps + 1

state, states = 0, []
for u_t in u:
    state = lam * state + u_t
    states.append(state)
print(steps, "steps instead of", L, "  error", error(h, np.array(states)))
assert steps == 10
assert np.allclose(h, states)

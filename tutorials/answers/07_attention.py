# %% [markdown]
# # Answers to tutorial 7, attention

# %%
import tracemalloc

import numpy as np

import minissm as ms
from minissm.backend import REFERENCE  # True where MINISSM_REFERENCE=1 turns the fast paths off
from minissm.fast.parallel import threads

NAMES = "^ab12"
rng = np.random.default_rng(0)


def one_hot(text):
    return np.array([[float(name == other) for other in NAMES] for name in text])


def attend(q, k, v):
    """Each token looks at itself and the tokens before it -> outputs (L, R), weights (L, L)."""
    z = np.where(np.tri(len(q)), q @ k.T, -np.inf)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, weights


# %% [markdown]
# ## 1. A key that is shown twice
#
# Both values follow an a. So both get the same score, and the answer is half 1 and half 2. To make the later one win,
# each key gets one more number that grows with the position, and each query gets a 1 there: all scores grow a little
# with s. The growth from one token to the next must be small compared with 8. Otherwise a late token that doesn't match
# wins. Here the two values are 2 positions apart: their scores differ by 2, and their weights by a factor of $e^2$.

# %%
x = one_hot("^a1a2a")
before, _ = attend(8 * np.eye(6, k=-1), np.eye(6), x)
answer, weights = attend(8 * x, before, x)
print("as it is:      ", *(f"{name} {a:.3f} " for name, a in zip(NAMES, answer[5], strict=True)))
assert np.isclose(answer[5, NAMES.index("1")], answer[5, NAMES.index("2")], rtol=0.01)

position = np.arange(6.0)[:, None]
q, k = np.hstack([8 * x, np.ones((6, 1))]), np.hstack([before, position])
answer, weights = attend(q, k, x)
print("the later wins:", *(f"{name} {a:.3f} " for name, a in zip(NAMES, answer[5], strict=True)))
assert NAMES[answer[5].argmax()] == "2"
assert np.isclose(weights[5, 4] / weights[5, 2], np.exp(2), rtol=0.05)  # nearly: `before` isn't exactly one-hot

# %% [markdown]
# ## 2. An ssm with 64 poles
#
# The state has $2EN$ numbers, the cache $2D$ a token: equal after $2N = 128$ tokens. In chunks the ssm multiplies less
# from $L = 666$ on. With more than 48 poles the library takes the FFT, which has another count (tutorial 3). So the 666
# is valid for 64 poles in chunks.

# %%
D, N, Q = 32, 64, 32
E = 2 * D
net = ms.Model("ssm(poles=64) + fnn1 + ssm(poles=64) + fnn1", vocab=16, width=D)
attention = ms.Model("attn(positions='none') + fnn1 + attn(positions='none') + fnn1", vocab=16, width=D)
L = np.arange(1, 2000)
smaller = [net.state_size(int(t)) < attention.state_size(int(t)) for t in L]
print("the state is smaller from token", L[np.argmax(smaller)], "on")
assert L[np.argmax(smaller)] == 2 * N + 1

fewer = E * (L * (Q + 4 * N + 4 * N / Q) + 12 * N * Q) < L**2 * D
print("the ssm multiplies less from L =", L[np.argmax(fewer)], "on")
assert L[np.argmax(fewer)] == 666

# %% [markdown]
# ## 3. One sequence in place of 16
#
# Yes. At $L = 1024$ the ssm needs about twice as much a token, and with 16 sequences a little less than attention. The
# matrices of its filters are made once for the whole batch. So their share for each token is 16 times as large with one
# sequence. The number of tokens in the batch decides.


# %%
def memory(block, L, B):
    """The most numbers a token, of 4 bytes, at any time of a forward and a backward."""
    p = ms.tree.map(lambda a: a.astype("float32"), block.init(rng, D))
    x = rng.normal(size=(B, L, D)).astype("float32")
    tracemalloc.start()
    y, _, backward = block.run(p, x, None, "auto")
    backward(y)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / (4 * B * L)


with threads(1):
    for B in (1, 16):
        most = {"ssm": memory(ms.Ssm(), 1024, B), "attention": memory(ms.Attn(positions="none"), 1024, B)}
        print(f"{B:2d} x 1024 tokens: " + ", ".join(f"{name} {numbers:.0f}" for name, numbers in most.items()))
        assert REFERENCE or (most["ssm"] > most["attention"]) == (B == 1)

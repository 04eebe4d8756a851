# %% [markdown]
# # Answers to tutorial 1, a filter with a memory

# %%
import numpy as np


def run(lam, c, u):
    """The states h_1 ... h_L and the outputs y_1 ... y_L."""
    states, h = [], 0.0
    for u_t in u:
        h = lam * h + u_t
        states.append(h)
    states = np.array(states)
    return states, (c * states).real


# %% [markdown]
# ## 1. What do the poles 1, 1.02 and -0.8 do?
#
# A pole of 1 forgets nothing: the state counts. A pole above 1 makes what is left of each token grow, without end. A
# pole of -0.8 forgets, and changes the sign at every step: tokens of now and of two steps ago are added, the one
# between them is subtracted. It is a spring that turns by 180 degrees a token.

# %%
ones = np.ones(200)
counted, _ = run(1.0, 1.0, ones)
grown, _ = run(1.02, 1.0, ones)
changing, _ = run(-0.8, 1.0, ones)
print(f"after 200 ones: {counted[-1]:.0f}, {grown[-1]:.0f}, {changing[-1]:.4f}")
assert np.allclose(counted, np.arange(1, 201))
assert np.allclose(grown, (1.02 ** np.arange(1, 201) - 1) / 0.02)  # the geometric series
assert np.isclose(changing[-1], 1 / 1.8)  # 1 / (1 - lam) holds for every |lam| < 1

# %% [markdown]
# ## 2. A filter that answers to a change, and not to the level
#
# For a constant input of 1 the buckets tend to $1 / (1 - 0.5) = 2$ and $1 / (1 - 0.9) = 10$. So with the weights 1 and
# -0.2 the output tends to $2 - 0.2 \cdot 10 = 0$. When the level changes, the fast bucket follows first, and the output
# is large until the slow one has followed.

# %%
lams, cs = np.array([0.5, 0.9]), np.array([1.0, -0.2])
u = np.concatenate([np.ones(100), 3 * np.ones(100)])
y = sum(run(lam, c, u)[1] for lam, c in zip(lams, cs, strict=True))
print(f"before the change {y[99]:.5f}, largest after it {y[100:].max():.2f}, at the end {y[-1]:.5f}")
assert abs(y[99]) < 1e-3
assert y[100:].max() > 1
assert abs(y[-1]) < 1e-3

# %% [markdown]
# ## 3. Read the tokens back
#
# The last state of bucket n is $\lambda_n^2 u_1 + \lambda_n u_2 + u_3$: three linear equations for three tokens. They
# have one solution, since the poles differ (the matrix is Vandermonde's). With four tokens there are still three
# equations. Then many sequences have the same states, and a fourth bucket is needed. N numbers hold N tokens, if the
# sequence is no longer.

# %%
lams = np.array([0.3, 0.6, 0.9])
tokens = np.array([2.0, -1.0, 3.0])
last = [run(lam, 1.0, tokens)[0][-1] for lam in lams]
weights = lams[:, None] ** np.array([2, 1, 0])  # (bucket, token)
found = np.linalg.solve(weights, last)
print("read back:", found.round(10))
assert np.allclose(found, tokens)

four = lams[:, None] ** np.array([3, 2, 1, 0])
silent = np.linalg.svd(four)[2][-1]  # four tokens that leave all three buckets empty
assert np.allclose([run(lam, 1.0, silent)[0][-1] for lam in lams], 0)
assert np.isclose(np.linalg.norm(silent), 1)
print("leaves nothing in the three buckets:", silent.round(3))

# %% [markdown]
# # 4. The gradient by hand
#
# Nobody chooses the poles of a model. It learns them, from derivatives. Most libraries find these by themselves. Here
# each function has them written down. How does a model learn from them, and how does one know that they are right?
#
# - **Goals**: derive the gradients of a linear layer and of the recurrence; know where a conjugate belongs; check a
#   gradient; stop in the middle of one.
# - **You need**: tutorials 1 and 3; partial derivatives, the chain rule, products of matrices.
# - **Time**: 75 minutes.

# %%
import io
import pdb
import re
import sys

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

rng = np.random.default_rng(0)

# %% [markdown]
# ## A linear layer
#
# The **loss** $\ell$ is one number that says how wrong the outputs y are. Here it is half the sum of all squared
# differences from the **target**, the outputs that we want. Its derivatives with respect to all entries of an array w
# form an array of the same shape, the **gradient** $dw = \partial \ell / \partial w$. The d in front means this
# from now on. To learn is to change w by a small step against $dw$, again and again: **gradient descent**.
#
# We begin with the simplest layer, $y = x w + b$. Each row of x is a token of D numbers, each row of y has E numbers,
# w is $D \times E$, and b is added to every row. The way to each gradient is one question: **where is it used?**
# $w_{ij}$ is multiplied by $x_{ri}$, in each row r, and added to $y_{rj}$. So if $dy$ is known, the chain rule gives
#
# $$ dw_{ij} = \sum_r x_{ri}\, dy_{rj}, \qquad dx_{ri} = \sum_j dy_{rj}\, w_{ij}, \qquad db_j = \sum_r dy_{rj}, $$
#
# that is $dw = x^T dy$ and $dx = dy\, w^T$. The gradient with respect to an output, $dy$, is called its **cotangent**.
# The function from the cotangent to the gradients of all inputs is the **backward**. It doesn't know the loss. So
# layers can be chained: the $dx$ of one is the $dy$ of the layer before. (The library's is `minissm.layers.linear`.)


# %%
def linear(w, b, x):
    def backward(dy):
        return x.T @ dy, dy.sum(axis=0), dy @ w.T  # dw, db, dx

    return x @ w + b, backward


x, w, b = rng.normal(size=(7, 4)), rng.normal(size=(4, 3)), np.zeros(3)
target = x @ rng.normal(size=(4, 3)) + 0.5
y, backward = linear(w, b, x)
dw, db, dx = backward(y - target)  # the derivative of (y - target)^2 / 2

# %% [markdown]
# Is $dw$ right? Move one entry by a small $\epsilon$, up and down, and look at the loss: the **central difference**
# $(\ell(w + \epsilon) - \ell(w - \epsilon)) / 2\epsilon$ is nearly the derivative. Expected: the two agree.
# And does it learn? We take 500 steps of gradient descent, each the gradient times 0.05 (the **learning rate**).
# Expected: the loss ends near 0.


# %%
def loss(w):
    return ((linear(w, b, x)[0] - target) ** 2).sum() / 2


for entry in np.ndindex(w.shape):
    e = np.zeros_like(w)
    e[entry] = 1e-5
    assert np.isclose((loss(w + e) - loss(w - e)) / 2e-5, dw[entry])

print(f"loss before {loss(w):.3f}", end="")
for _ in range(500):
    y, backward = linear(w, b, x)
    dw, db, _ = backward(y - target)
    w, b = w - 0.05 * dw, b - 0.05 * db
print(f", after {loss(w):.1e}")
assert loss(w) < 0.01

# %% [markdown]
# ## The recurrence
#
# One channel with real poles: $h_t = \lambda h_{t-1} + u_t$ and $y_t = \sum_n c_n h_{t,n}$. Where is $h_t$ used? In
# $y_t$, times c, and in $h_{t+1}$, times $\lambda$. Its gradient is the sum over both uses:
#
# $$ dh_t = c\, dy_t + \lambda\, dh_{t+1}, \qquad dh_{L+1} = 0. $$
#
# This **adjoint recurrence** runs from the last token to the first. The state takes the past to the future, and its
# gradient takes the future back to the past. The rest is read off:
#
# | where it is used | so |
# |---|---|
# | $u_t$ is added to each pole's $h_t$ | $du_t = \sum_n dh_{t,n}$ |
# | $\lambda$ multiplies $h_{t-1}$, at every t | $d\lambda = \sum_t dh_t\, h_{t-1}$ |
# | c multiplies $h_t$, at every t | $dc = \sum_t dy_t\, h_t$ |
# | $\log\lambda$ is stored (tutorial 2), and $\lambda$ is its exponential | $d\log\lambda = \lambda\, d\lambda$ |


# %%
def channel(log_lam, c, u, conj=lambda z: z):
    """log_lam, c (N,), u (L,) -> y (L,), and its backward. conj does nothing yet: see the next section."""
    lam = np.exp(log_lam)
    h = [np.zeros_like(lam)]  # h[t] is the state after t tokens
    for u_t in u:
        h.append(lam * h[-1] + u_t)

    def backward(dy):
        dh, dlam, dc, du = 0, 0, 0, np.zeros_like(u)
        for t in range(len(u), 0, -1):
            dy_t = dy[t - 1]  # Python counts the tokens from 0
            dc = dc + dy_t * conj(h[t])
            dh = dh + dy_t * conj(c)
            dlam = dlam + dh * conj(h[t - 1])
            du[t - 1] = dh.sum().real
            dh = dh * conj(lam)
        return dlam * conj(lam), dc, du

    return np.array([(c * h_t).sum().real for h_t in h[1:]]), backward


# %% [markdown]
# The library checks every backward by one function, `ms.gradcheck(f, *inputs)`. It draws a random $dy$, and takes
# $\sum dy\, y$ for the loss. For each input z it draws a random direction e, and compares the central difference of the
# loss along e with $\sum dz\, e$. So one comparison tests all of z. Expected for two buckets: errors below $10^{-6}$.

# %%
u, names = rng.normal(size=40), ("log_lam", "c", "u")
print(ms.gradcheck(channel, np.log([0.5, 0.9]), np.array([1.0, -0.2]), u, names=names))

# %% [markdown]
# ## The conjugate
#
# Now a spring, with the same code. `gradcheck` moves complex inputs in complex directions. If something is wrong, it
# raises `ms.GradientError`, with the report as its message.

# %%
spring = np.log([0.95 * np.exp(1j * np.pi / 6)]), np.array([-1j])  # log_lam and c, one pole
try:
    ms.gradcheck(channel, *spring, u, names=names)
except ms.GradientError as error:
    print(error)
    wrong = {row.leaf for row in error.report.rows if not row.ok}  # a leaf is an input array
assert wrong == {"log_lam", "c"}

# %% [markdown]
# Two of three are wrong, and a check of $du$ alone finds nothing. Why? The loss is real, but a complex $z = p + iq$ is
# two numbers. Both have a derivative, and we keep the two in one complex number:
#
# $$ dz = \frac{\partial \ell}{\partial p} + i\, \frac{\partial \ell}{\partial q}. $$
#
# A small change e of z then changes the loss by $\mathrm{Re}(\overline{dz}\; e)$: the first derivative times
# $\mathrm{Re}\,e$, and the second times $\mathrm{Im}\,e$. Let z be multiplied by a, $w = a z$. Then e changes w by a e,
# and the loss by $\mathrm{Re}(\overline{dw}\; a\, e) = \mathrm{Re}(\overline{\bar a\, dw}\; e)$. So
# $dz = \bar a\, dw$.
#
# **Where the forward multiplies by a, the backward multiplies by the conjugate of a.** For a real a this changes
# nothing: tests with real poles alone never find the mistake. And of a real input only the real part of its gradient
# counts, as in $du$. Expected: with every conjugate in its place the check passes. In $d\log\lambda$ the real part (the
# decay) was right all the time, and the imaginary part (the rotation) had the wrong sign: off by 200 %.


# %%
def right_channel(log_lam, c, u):
    return channel(log_lam, c, u, np.conj)


print(ms.gradcheck(right_channel, *spring, u, names=names))
dy = rng.normal(size=40)
(right, dc, du), (wrong, _, _) = right_channel(*spring, u)[1](dy), channel(*spring, u)[1](dy)
print(f"d log_lam: right {right[0]:.2f}, without conjugates {wrong[0]:.2f}")
assert np.allclose(wrong, np.conj(right))

# %% [markdown]
# What does such a mistake do? A spring of another period and decay is to learn the spring above from its outputs.
# Expected: the right gradient leads there. The wrong one turns the pole past it, and c the other way.

# %%
target, _ = right_channel(*spring, u)
losses = {"every conjugate in its place": [], "no conjugates": []}
for f, curve in zip((right_channel, channel), losses.values(), strict=True):
    log_lam, c = np.log([0.9 * np.exp(1j * np.pi / 8)]), np.array([1 + 0j])
    for _ in range(150):
        y, backward = f(log_lam, c, u)
        curve.append(((y - target) ** 2).mean() / 2)
        dlog_lam, dc, _ = backward((y - target) / len(u))
        log_lam, c = log_lam - 0.003 * dlog_lam, c - 0.03 * dc
right, wrong = losses.values()
silence = (target**2).mean() / 2  # the loss of an output that is always 0
assert right[-1] < 0.1 * right[0]
assert wrong[-1] > silence
assert min(log_lam[0].imag - np.pi / 6, c[0].imag) > 0.2  # of the wrong one; the spring has the angle pi / 6, c = -i

figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
for i, (name, curve) in enumerate(losses.items()):
    axis.plot(curve, linestyle=DASHES[i], color=COLOURS[i], label=name)
axis.axhline(silence, color="0.5", linestyle=":", label="an output of 0")
axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
axis.set_title("Without conjugates the spring learns to be worse than silence", fontsize=10.5)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The filter, backward in time
#
# The adjoint recurrence is the forward one with conjugates, run from the end. Its kernel is
# $\mathrm{Re}(\bar c\, \bar\lambda^j)$, and the real part doesn't see the conjugates: it is $k_j$. So $du$ is the
# output of the *same* filter for $dy$, with time turned around. Expected: a cotangent at token 24 alone reaches the
# tokens up to it, and $du$ is the kernel, read from right to left.

# %%
impulse, cotangent = np.eye(33)[8], np.eye(33)[24]
response, backward = right_channel(*spring, impulse)
du = backward(cotangent)[2]
assert np.allclose(du, response[::-1])

figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
axis.axhline(0, color="0.6", linewidth=0.8)
for i, (label, curve) in enumerate({"y for an impulse at 8": response, "du for a dy at 24 alone": du}.items()):
    axis.plot(curve, MARKS[i] + DASHES[i], color=COLOURS[i], markersize=4, label=label)
axis.set(xlabel="token t", ylabel="y, du", ylim=(-1, 1.4))
axis.set_title("y comes after its input, du stands before its cotangent", fontsize=10.5)
axis.legend(frameon=False, ncols=2)
plt.show()

# %% [markdown]
# So each mode of tutorial 3 has a backward of its own kind, and they agree. Read `recurrent` and its backward in
# `minissm/scan/diagonal.py`: our lines, for all sequences and channels. It also takes dh_last, the cotangent of the
# last state (a next piece may begin there), and returns dh0.

# %%
filter_ = ms.S4d(poles=3)
(log_lam, c), _ = filter_(filter_.init(rng, 4))  # 4 channels
u, dy = rng.normal(size=(2, 2, 50, 4))  # two arrays (B, L, D)
exact = ms.scan.recurrent(log_lam, c, u)[2](dy)  # dlog_lam, dc, du, dh0
for name, mode in ms.scan.MODES.items():
    y, h_last, backward = mode(log_lam, c, u)
    worst = max(abs(a - b).max() / abs(b).max() for a, b in zip(backward(dy), exact, strict=True))
    print(f"{name:10s} largest relative difference {worst:.1e}")
    assert worst < 1e-12

# %% [markdown]
# ## A whole model in one line
#
# A model is called in the same way, `y, backward = net(params, x)`. So the same function checks it: each layer, and the
# way through all of them. It raises if one is wrong. A model's tokens are integers, which have no derivative. So here a
# token is a vector: 1 in its own place, 0 elsewhere (**one-hot**). Differences need double precision, "float64".

# %%
net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=5, width=4, dtype="float64")  # tutorial 6 says what stands here
params = net.init(np.random.default_rng(1))
report = ms.gradcheck(net, params, np.eye(5)[rng.integers(0, 5, (2, 7))])
print(f"{len(report.rows)} arrays; the worst: {report.worst}")

# %% [markdown]
# ## Looking inside
#
# A backward remembers those variables of its forward that it uses, here all L + 1 states. `pdb.runcall(backward, dy)`
# walks through it with Python's **debugger**. It stops at the first line. Then `n` goes to the next line, `s` into a
# call, `p x` prints x, `c` goes on, `q` quits. A `breakpoint()` in your own code stops there.
#
# We look for the missing conjugate, in the smallest case that shows it: the tokens 1, 0 and a cotangent of 1 at the
# second. By hand $y_2 = \mathrm{Re}(c \lambda)$, so $dc = \bar\lambda = 0.82 - 0.48 i$. In this session the line of dc
# makes another one. (The cell types the session again, and compares. A notebook's debugger, ipdb, shows more.)

# %%
SESSION = """\
-> dh, dlam, dc, du = 0, 0, 0, np.zeros_like(u)
(Pdb) n
-> for t in range(len(u), 0, -1):
(Pdb) n
-> dy_t = dy[t - 1]  # Python counts the tokens from 0
(Pdb) n
-> dc = dc + dy_t * conj(h[t])
(Pdb) n
-> dh = dh + dy_t * conj(c)
(Pdb) p t
2
(Pdb) p dc.round(2)
array([0.82+0.48j])
(Pdb) c
"""
_, backward = channel(*spring, np.array([1.0, 0.0]))
typed, screen = "".join(line + "\n" for line in re.findall(r"\(Pdb\) (.*)", SESSION)), io.StringIO()
if sys.gettrace() is None:  # only one debugger can work at a time
    debugger = pdb.Pdb(stdin=io.StringIO(typed), stdout=screen, nosigint=True, readrc=False)
    debugger.runcall(backward, np.array([0.0, 1.0]))
    shown, answers = screen.getvalue(), re.findall(r"^(?!\(Pdb\)).+", SESSION, re.MULTILINE)
    assert "ipdb> array([0.82+0.48j])" in shown or all(answer in shown for answer in answers)

# %% [markdown]
# ## To try
#
# 1. Forget the five conjugates one by one. Which inputs does `gradcheck` name for each? Begin with a copy of `channel`,
#    `def channel(log_lam, c, u, conj):`, with `conj[0](h[t])`, `conj[1](c)`, and so on.
# 2. Write $y = x^2 / (1 + x^2)$ with its backward, and check it. Then make it wrong by 1 %. Begin with `def f(x):`.
# 3. A backward that ignores dh_last, the cotangent of the last state: which inputs does `gradcheck` name? Begin with
#    `def forgetful(log_lam, c, u, h0):` and `y, h_last, backward = ms.scan.recurrent(log_lam, c, u, h0)`.

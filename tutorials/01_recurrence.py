# %% [markdown]
# # 1. One recurrence by hand
#
# A state space layer remembers with a linear recurrence. This tutorial takes one apart: one input channel and one
# number of memory, first real, then complex. At the end the same recurrence is found again inside a whole model.
#
# The symbols are those of the library: `u` input, `h` state, `y` output, `lam` (lambda) pole, `c` output weight,
# `k` kernel, `dt` step, `a` the pole in continuous time. Every claim below that can be computed is followed by a
# cell with an `assert`: if a claim were wrong, the cell would stop.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.lab.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

rng = np.random.default_rng(0)

# %% [markdown]
# ## A real pole: the state forgets
#
# At every token the state is multiplied by `lam`, and the input is added. The output is the state times `c`:
#
# $$ h_t = \lambda h_{t-1} + u_t, \qquad y_t = \mathrm{Re}\,(c\, h_t), \qquad h_0 = 0. $$
#
# In Python this is one line in a loop. ("Re" does nothing yet: all numbers are real.)


# %%
def by_hand(lam, c, u):
    """The states h_1 .. h_L and the outputs y_1 .. y_L."""
    states, h = [], 0.0
    for u_t in u:
        h = lam * h + u_t
        states.append(h)
    states = np.array(states)
    return states, (c * states).real


# %% [markdown]
# The **impulse response** is the output for the input 1, 0, 0, 0, ...: what the recurrence still knows about one
# token, j tokens later. With lam = 0.8 and c = 1 we expect 1, 0.8, 0.64, ...: the powers of lam.

# %%
impulse = np.zeros(30)
impulse[0] = 1
states, y = by_hand(0.8, 1.0, impulse)
print(y[:5])
assert np.allclose(y, 0.8 ** np.arange(30))

# %% [markdown]
# The library's function for this is `ms.scan.recurrent`. It runs many recurrences together, so its arrays have more
# axes. u is (B, L, D): B sequences of length L with D channels. log_lam and c are (D, N): N poles per channel. The
# function takes log(lam), and it returns y, the last state, and a function for the gradients (tutorial 4). With
# B = D = N = 1 it must give our numbers.


# %%
def library(lam, c, u):
    """The same by ms.scan.recurrent, with all sizes 1."""
    log_lam, c = np.log(np.array([[lam]], complex)), np.array([[c]], complex)
    y, h_last, _ = ms.scan.recurrent(log_lam, c, u[None, :, None])
    return y[0, :, 0], h_last[0, 0, 0]


y_library, h_library = library(0.8, 1.0, impulse)
assert np.allclose(y_library, y)
assert np.isclose(h_library, states[-1])

# %% [markdown]
# Two numbers tell how long a real pole remembers.
#
# * The state is halved every log(1/2) / log(lam) tokens. For lam = 0.8: after 3.1 tokens.
# * A constant input of 1 adds up to 1 + lam + lam^2 + ... = 1 / (1 - lam). For lam = 0.8: to 5. In this sense the
#   state holds "the last 5 tokens".

# %%
print(f"halved every {np.log(0.5) / np.log(0.8):.1f} tokens")
states, _ = by_hand(0.8, 1.0, np.ones(200))
print(f"constant input: the state tends to {states[-1]:.6f}")
assert np.isclose(states[-1], 5)

# %% [markdown]
# ## A complex pole: the state forgets and turns
#
# A real pole keeps one weighted sum of the past. In it, tokens of two and of three steps ago differ only in size. A
# complex pole lam = r exp(i theta) shrinks the state by r and also turns it by the angle theta. The angle then shows
# how long ago a token came. We take r = 0.95 and theta = 30 degrees: one full turn in 12 tokens.
#
# Expected: the state is a spiral. With c = 1 the output is its shadow on the real axis, r^j cos(theta j). It crosses
# zero at j = 3 (90 degrees) and is back at the top at j = 12.

# %%
r, theta = 0.95, np.pi / 6
lam = r * np.exp(1j * theta)
j = np.arange(30)
states, y = by_hand(lam, 1.0, impulse)
assert np.allclose(y, r**j * np.cos(theta * j))
assert abs(y[3]) < 1e-12
assert np.isclose(y[12], r**12)
assert np.allclose(library(lam, 1.0, impulse)[0], y)

# %% [markdown]
# The weight c is complex as well. Its size scales the output, and its angle decides at which angle of the state the
# output is largest. With c = -i the cosine becomes a sine, which is 0 at once and largest three tokens later. So this
# output answers "what came three tokens ago?" a little, and the recurrence has begun to select by position.

# %%
_, y_sine = by_hand(lam, -1j, impulse)
assert np.allclose(y_sine, r**j * np.sin(theta * j))
assert y_sine[0] == 0
assert y_sine.argmax() == 3

# %% [markdown]
# A complex state is two real ones, turned by a 2 x 2 matrix. Complex arithmetic is the short spelling of this.

# %%
turn = r * np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
h = np.zeros(2)
for t in range(30):
    h = turn @ h + np.array([impulse[t], 0])
    assert np.allclose(h, [states[t].real, states[t].imag])

# %% [markdown]
# The picture: left the states in the complex plane, right the impulse responses.

# %%
real_states, real_y = by_hand(0.8, 1.0, impulse)
figure, (plane, response) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(1, 1.5))
plane.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
plane.plot(states.real, states.imag, MARKS[0], linestyle=DASHES[0], color=COLOURS[0], markersize=4, linewidth=1)
plane.plot(real_states, 0 * real_states, MARKS[1], linestyle=DASHES[1], color=COLOURS[1], markersize=4, linewidth=1)
for i, offset in {0: (10, 0), 3: (0, 10), 6: (-10, 0), 9: (0, -10), 12: (12, 10)}.items():
    label = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
    plane.annotate(f"{i}", (states[i].real, states[i].imag), **label)
plane.set(xlabel="Re h", ylabel="Im h", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
plane.set_title("The state, j tokens after an impulse", fontsize=10.5)
response.axhline(0, color="0.6", linewidth=0.8)
curves = {
    "lam = 0.95 exp(i 30°), c = 1": y,
    "lam = 0.8, c = 1": real_y,
    "lam = 0.95 exp(i 30°), c = -i": y_sine,
}
for i, (name, curve) in enumerate(curves.items()):
    response.plot(j, curve, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], markersize=4, linewidth=1.2, label=name)
response.set(xlabel="tokens since the impulse, j", ylabel="output")
response.set_title("The impulse response", fontsize=10.5)
response.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The kernel: the same output as a convolution
#
# Nothing above is special to an impulse. The recurrence is linear. So every token sends its own copy of the impulse
# response into the future, and the output is the sum of these copies. With several poles in one channel the responses
# add up too. The impulse response is therefore called the **kernel**:
#
# $$ k_j = \mathrm{Re} \sum_n c_n \lambda_n^j, \qquad y_t = \sum_{j=0}^{t-1} k_j\, u_{t-j}. $$
#
# `ms.scan.kernel` computes k. Here are three poles and a random input: recurrence, convolution and the formula give
# the same output.

# %%
lams = np.array([0.9 * np.exp(0.3j), 0.8 * np.exp(1j), 0.97])
cs = rng.normal(size=3) + 1j * rng.normal(size=3)
u = rng.normal(size=100)

k, _ = ms.scan.kernel(np.log(lams)[None], cs[None], length=100)  # (D, L), D = 1
assert np.allclose(k[0], [(cs * lams**j).sum().real for j in range(100)])

y_recurrence = sum(by_hand(lam_n, c_n, u)[1] for lam_n, c_n in zip(lams, cs, strict=True))
y_convolution = np.convolve(u, k[0])[:100]
print("largest difference:", abs(y_recurrence - y_convolution).max())
assert np.allclose(y_recurrence, y_convolution)

# %% [markdown]
# So there are two ways to compute the layer: token by token with a small state, or all tokens at once with a long
# kernel. Tutorial 3 is about this choice.
#
# ## What dt means
#
# The library does not store lam. It stores a pole `a` in continuous time and a step `dt`, and lam = exp(dt a). One
# token lasts dt units of time. Written out with a = -1/2 + i pi n, pole number n of the initial draw "lin":
#
# * decay: |lam| = exp(-dt / 2). The state falls to 1/e = 37 % in 2 / dt tokens.
# * rotation: the angle of lam is pi n dt. The state makes one turn in 2 / (n dt) tokens.
#
# So dt sets how long everything in a channel takes. A small dt is a long memory that turns slowly, a large dt a short
# memory that turns fast. Training can change dt.

# %%
a = -0.5 + 1j * np.pi  # n = 1
steps = (1.0, 0.3, 0.1, 0.03)
for dt in steps:
    lam = np.exp(dt * a)
    turn = 2 * np.pi / np.angle(lam)  # tokens
    fall = -1 / np.log(abs(lam))
    print(f"dt {dt:5.2f}   |lam| {abs(lam):.3f}   37 % after {fall:5.1f} tokens   one turn in {turn:5.1f} tokens")
    assert np.isclose(fall, 2 / dt)
    assert np.isclose(turn, 2 / dt)

# %% [markdown]
# Half the step and twice the tokens give the same curve with twice as many points. The memory in continuous time does
# not depend on dt. Only the number of tokens over which it spreads does.

# %%
one = np.ones((1, 1), complex)
coarse, _ = ms.scan.kernel(0.1 * a * one, one, length=50)
fine, _ = ms.scan.kernel(0.05 * a * one, one, length=100)
assert np.allclose(coarse[0], fine[0, ::2])

# %% [markdown]
# There is a limit. A pole that turns by more than 180 degrees per token seems to turn the other way, as wagon wheels
# do in films. With dt = 0.5 the pole n = 3 (270 degrees per token) is the mirror image of n = 1 (90 degrees). The
# real part of both is the same: a kernel can't have a period below two tokens.

# %%
third, _ = ms.scan.kernel(0.5 * (-0.5 + 3j * np.pi) * one, one, length=50)
first, _ = ms.scan.kernel(0.5 * (-0.5 + 1j * np.pi) * one, one, length=50)
assert np.allclose(third, first)

# %%
figure, (plane, response) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(1, 1.5))
plane.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
path = np.exp(np.linspace(0, 1, 100) * a)
plane.plot(path.real, path.imag, color="0.75", linewidth=1)
response.axhline(0, color="0.6", linewidth=0.8)
for i, dt in enumerate(steps):
    lam = np.exp(dt * a)
    plane.plot(lam.real, lam.imag, MARKS[i], color=COLOURS[i], markersize=8)
    offset = (-20, 0) if dt < 1 else (0, 13)  # inside the circle, or above
    label = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
    plane.annotate(f"{dt}", (lam.real, lam.imag), **label)
    k, _ = ms.scan.kernel(dt * a * one, one, length=100)
    style = {"marker": MARKS[i], "markevery": (0, 5), "markersize": 5, "linestyle": DASHES[i], "color": COLOURS[i]}
    response.plot(k[0], label=f"dt = {dt}", linewidth=1.4, **style)
plane.set(xlabel="Re lam", ylabel="Im lam", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
plane.set_title("The pole exp(dt a) for four steps dt", fontsize=10.5)
response.set(xlabel="tokens since the impulse, j", ylabel="kernel", xlim=(-1, 80))
response.set_title("Its kernel: small dt, long memory", fontsize=10.5)
response.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Token by token
#
# The state is all that the recurrence keeps. So a sequence can be fed in pieces, even one token at a time: each piece
# begins with the last state of the piece before it. The outputs are those of the whole sequence at once. The memory
# does not grow with the length: here it is three complex numbers, after 100 tokens as after a million.

# %%
log_lam, c = np.log(lams)[None], cs[None]
whole, h_whole, _ = ms.scan.recurrent(log_lam, c, u[None, :, None])

for piece in (1, 7, 64):
    h, ys = None, []  # None: start from zeros
    for t in range(0, 100, piece):
        y, h, _ = ms.scan.recurrent(log_lam, c, u[None, t : t + piece, None], h)
        ys.append(y)
    assert np.allclose(np.concatenate(ys, axis=1), whole)
    assert np.allclose(h, h_whole)
print("state:", h.shape, "= (B, D, N)")

# %% [markdown]
# ## Where it sits in a model
#
# A block `ssm` has three parts. A linear map takes the D numbers of a token to E = 2 D channels. Every channel has one
# such recurrence with N poles, plus a direct path (`skip`). A linear map leads back. Nothing in the block is nonlinear:
# the `fnn` blocks between do that. `net.trace` runs a model and returns what happens inside, by name.

# %%
net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=8, width=8)
params = net.init(rng)
tokens = rng.integers(0, 8, (1, 400))
inside = net.trace(params, tokens)
for name, array in inside.items():
    print(f"{name:18s} {array.shape}")

# %% [markdown]
# `blocks.0.kernel` is the impulse response of each of the 16 channels of the first block, and `blocks.0.states` holds
# the states after every token. We computed both above. The filter turns the parameters into `Poles(log_lam, c)`, their
# kernel is Re sum c lam^j, and the direct path adds `skip` at j = 0.

# %%
p = params["blocks"][0]
(log_lam, c), _ = net.blocks[0].filter(p["filter"])
k, _ = ms.scan.kernel(log_lam, c, length=400)
k[:, 0] += p["skip"]
print("channels and poles per channel:", log_lam.shape)
assert np.allclose(k, inside["blocks.0.kernel"], atol=1e-6)

lag = np.arange(400)
n = slice(0, 3)  # three channels are enough to compare with the formula
formula = (c[n, :, None] * np.exp(log_lam[n, :, None] * lag)).sum(axis=1).real
formula[:, 0] += p["skip"][n]
assert np.allclose(formula, k[n])

# %% [markdown]
# The layer, too, can be fed token by token. `ms.ssm` is the function that the block calls. Its state is the h of every
# channel and pole.

# %%
x = inside["embed"]
whole, h_whole, _ = ms.ssm(p, x, filter=net.blocks[0].filter)
h, ys = None, []
for t in range(400):
    y, h, _ = ms.ssm(p, x[:, t : t + 1], h, filter=net.blocks[0].filter)
    ys.append(y)
assert np.allclose(np.concatenate(ys, axis=1), whole, atol=1e-5)  # single precision
assert np.allclose(h, h_whole, atol=1e-5)
assert np.allclose(h, inside["blocks.0.states"][:, -1], atol=1e-5)

# %% [markdown]
# A model starts with short memories in its first ssm block and long ones in its last (`timescales="graded"`). It draws
# dt from `ms.filters.SHORT` in the first and from `ms.filters.LONG` in the last. To see it in the kernels, we measure
# the **reach** of a channel: the number of tokens back that hold 90 % of the sum of |k|. (We leave out j = 0, where the
# direct path is, and stop at 400 tokens.) Expected: the steps differ by a factor of 10, and so do the reaches, roughly.

# %%
print("dt from", ms.filters.SHORT, "in the first block, from", ms.filters.LONG, "in the last")


def reach(kernel):
    """(E, L) -> (E,)."""
    weight = np.cumsum(abs(kernel[:, 1:]), axis=1)
    return (weight < 0.9 * weight[:, -1:]).sum(axis=1) + 1


kernels = {"first ssm block": inside["blocks.0.kernel"], "last ssm block": inside["blocks.2.kernel"]}
reaches = {name: reach(k) for name, k in kernels.items()}
for name, found in reaches.items():
    print(f"{name}: median reach {np.median(found):.0f} tokens, from {found.min()} to {found.max()}")
assert np.median(reaches["last ssm block"]) > 4 * np.median(reaches["first ssm block"])

# %%
figure, axes = plt.subplots(2, 1, figsize=(9, 5), layout="constrained", sharex=True)
for axis, (name, k) in zip(axes, kernels.items(), strict=True):
    order = np.argsort(reaches[name])
    axis.axhline(0, color="0.6", linewidth=0.8)
    for i, rank in enumerate((0, 8, 15)):  # the shortest of the 16 channels, one in the middle, the longest
        e = order[rank]
        label = f"{('shortest', 'middle', 'longest')[i]}: reach {reaches[name][e]}"
        axis.plot(lag[1:], k[e, 1:], linestyle=DASHES[i], color=COLOURS[i], linewidth=1.4, label=label)
    axis.set(ylabel="kernel", xscale="log", xlim=(0.9, 400))
    axis.set_title(f"Kernels of the {name}, before training", fontsize=10.5)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
axes[1].set(xlabel="tokens since the impulse, j (logarithmic)")
axes[1].xaxis.set_major_formatter("{x:.0f}")
plt.show()

# %% [markdown]
# ## To try
#
# * Set lam = 1.02 in the first section. What does the library do to make this impossible? (Read `filters.s4d`: the
#   real part of a is -exp(log_re).)
# * Choose poles and weights by hand so that the kernel is near 0 everywhere except around j = 5. How many poles do you
#   need, and why can't it be exactly 0 elsewhere?
# * Train the model (`ms.fit`) and draw the last figure again.

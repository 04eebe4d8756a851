# %% [markdown]
# # 1. A filter with a memory
#
# A sequence comes in one item after the other, and nothing may be kept of it but one number. **What can one number
# remember of a sequence?** This library, minissm, is about a kind of neural network whose memory is made of many such
# numbers: state space models. This tutorial takes one of the numbers apart.
#
# - **Goals**: compute a recurrence by hand; say what a pole and a kernel are; know what a state keeps and loses.
# - **You need**: Python and NumPy, complex numbers ($e^{i\theta} = \cos\theta + i \sin\theta$), geometric series.
# - **Time**: 40 minutes.
#
# Before a cell the text says what to expect. After it an `assert` checks this: if the text were wrong, the cell would
# stop with an error.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

rng = np.random.default_rng(0)

# %% [markdown]
# ## A leaky bucket
#
# A **sequence** is a list in which the order counts, and its items are called **tokens**: the words of a text, the
# letters of a gene, the rain of each hour. Here a token is one number. Token number t is written $u_t$, with
# $t = 1, \dots, L$. L is the **length** of the sequence.
#
# A bucket with a hole stands in the rain. In every hour a fifth of the water leaks out, and then the rain $u_t$ is
# added. The water in it after hour t is $h_t$:
#
# $$ h_t = \lambda h_{t-1} + u_t, \qquad \lambda = 0.8, \qquad h_0 = 0. $$
#
# $h_t$ is the **state**: all that is kept of the tokens up to t. A rule like this, which makes each state from the one
# before it, is a **recurrence**. The code writes `lam` for $\lambda$ (lambda). We also let the state be read: the
# **output** is $y_t = c\, h_t$, with a weight c. In Python this is one line in a loop.


# %%
def run(lam, c, u):
    """The states h_1 ... h_L and the outputs y_1 ... y_L."""
    states, h = [], 0.0
    for u_t in u:
        h = lam * h + u_t
        states.append(h)
    states = np.array(states)
    return states, (c * states).real  # "real" does nothing yet: all numbers are real


# %% [markdown]
# Expected for the rain 3, 0, 0, 2, ...: the state is 3 after the first hour, then 2.4, then 1.92. In the fourth hour
# 1.536 are left of it, and 2 are added: 3.536.

# %%
rain = np.array([3.0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0])
states, y = run(0.8, 1.0, rain)
print(states[:5])
assert np.allclose(states[:4], [3, 2.4, 1.92, 3.536])

# %% [markdown]
# What is left of a single token? We send in an **impulse**, the sequence 1, 0, 0, ... The output for it is called the
# **impulse response**. Expected: 1, 0.8, 0.64, ... A token that came j steps ago still counts $\lambda^j$ of itself.

# %%
j = np.arange(30)
impulse = np.zeros(30)
impulse[0] = 1
_, y_bucket = run(0.8, 1.0, impulse)
assert np.allclose(y_bucket, 0.8**j)

# %% [markdown]
# So each token shrinks on its own, and the state is the sum of what is left of all of them:
#
# $$ h_t = u_t + \lambda u_{t-1} + \lambda^2 u_{t-2} + \dots = \sum_{j=0}^{t-1} \lambda^j u_{t-j}. $$
#
# In the picture, each height is the state, and each colour is what is left of one token.

# %%
hours = np.arange(1, len(rain) + 1)
left = np.array([[rain[s] * 0.8 ** (t - s) if t >= s else 0 for t in range(12)] for s in (0, 3, 7)])  # (token, hour)
assert np.allclose(left.sum(axis=0), states)

figure, axis = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
for i, (hour, bottom) in enumerate(zip((1, 4, 8), np.cumsum(left, axis=0) - left, strict=True)):
    style = {"color": COLOURS[i], "hatch": ("", "//", "..")[i], "edgecolor": "white"}
    axis.bar(hours, left[i], bottom=bottom, width=0.8, label=f"left of the rain in hour {hour}", **style)
axis.set(xlabel="hour t", ylabel="state $h_t$", xticks=hours, ylim=(0, 4))
axis.set_title("The state is the sum of what is left of each token")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Two numbers tell how long a bucket remembers.
#
# - What is left is halved every $\log(1/2) / \log\lambda$ tokens. For $\lambda = 0.8$: every 3.1 tokens.
# - Rain of 1 in every hour adds up to $1 + \lambda + \lambda^2 + \dots = 1 / (1 - \lambda)$. For $\lambda = 0.8$: to 5.
#   In this sense the state holds "the last 5 tokens".

# %%
print(f"halved every {np.log(0.5) / np.log(0.8):.1f} tokens")
states, _ = run(0.8, 1.0, np.ones(200))
print(f"rain of 1 in every hour: the state tends to {states[-1]:.6f}")
assert np.isclose(states[-1], 5)

# %% [markdown]
# What does the state lose? The order and the sizes of the tokens are mixed in one sum. Rain of 1 in the hour before
# this one, or of 0.8 in this hour: the water is the same. No later output can tell the two apart.

# %%
first, _ = run(0.8, 1.0, np.array([1.0, 0.0]))
second, _ = run(0.8, 1.0, np.array([0.0, 0.8]))
assert first[-1] == second[-1]

# %% [markdown]
# $\lambda$ decides what is kept. It is called the **pole**. (The word is from complex analysis: the sum
# $1 + \lambda/z + (\lambda/z)^2 + \dots$ is $1 / (1 - \lambda/z)$, a function of z with a pole at $z = \lambda$.) A
# pole of 0.99 forgets slowly, a pole of 0.1 at once. The first picks up a trend, the second the last token.
#
# ## A damped spring
#
# A bucket knows how much water it has, but not since when. Its impulse response only falls. A ball on a spring is
# different: pull it down by 1, and it swings. Down, up, down again, a little less each time. Where it is depends on how
# long ago it was pulled.
#
# A spring needs two numbers: where the ball is, and how it moves. **One complex number holds two real ones.** So we
# let the pole and the state be complex: $\lambda = r e^{i\theta}$. Multiplying by $\lambda$ shrinks the state by r and
# turns it by the angle $\theta$. We read its real part:
#
# $$ h_t = \lambda h_{t-1} + u_t, \qquad y_t = \mathrm{Re}\,(c\, h_t). $$
#
# We take $r = 0.95$ and $\theta = 30°$: one full turn in 12 tokens. Expected: the states after an impulse lie on a
# spiral. With $c = 1$ the output is $r^j \cos(\theta j)$. It crosses zero at $j = 3$ (90 degrees) and is at a top
# again at $j = 12$.

# %%
r, theta = 0.95, np.pi / 6
lam = r * np.exp(1j * theta)
spiral, y_spring = run(lam, 1.0, impulse)
assert np.allclose(y_spring, r**j * np.cos(theta * j))
assert abs(y_spring[3]) < 1e-12
assert np.isclose(y_spring[12], r**12)

# %% [markdown]
# Is this a spring? A damped spring is pulled back to the middle, and slowed down. So two earlier positions decide the
# next one. Here, too: $\lambda$ and its conjugate are the roots of $z^2 = 2 r \cos\theta\; z - r^2$. So while no token
# comes in, $y_t = 2 r \cos\theta\; y_{t-1} - r^2 y_{t-2}$. And the complex number is a short spelling: the same state
# is two real numbers, turned by a $2 \times 2$ matrix.

# %%
assert np.allclose(y_spring[2:], 2 * r * np.cos(theta) * y_spring[1:-1] - r**2 * y_spring[:-2])

turn = r * np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
h = np.zeros(2)
for t in range(30):
    h = turn @ h + np.array([impulse[t], 0])
    assert np.allclose(h, [spiral[t].real, spiral[t].imag])

# %% [markdown]
# The weight c is complex as well. Its size scales the output. Its angle decides at which angle of the state the output
# is largest. With $c = -i$ the cosine becomes a sine: 0 for the token of now, and largest for the token of three steps
# ago. One bucket can't do this: its largest weight is on the token of now.

# %%
_, y_sine = run(lam, -1j, impulse)
assert np.allclose(y_sine, r**j * np.sin(theta * j))
assert y_sine[0] == 0
assert y_sine.argmax() == 3

# %% [markdown]
# The picture: left the states in the complex plane, right the impulse responses. The small numbers are j.

# %%
bucket_states, _ = run(0.8, 1.0, impulse)
figure, (plane, response) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(1, 1.5))
plane.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
plane.plot(spiral.real, spiral.imag, MARKS[0], linestyle=DASHES[0], color=COLOURS[0], markersize=4, linewidth=1)
plane.plot(bucket_states, 0 * j, MARKS[1], linestyle=DASHES[1], color=COLOURS[1], markersize=4, linewidth=1)
for i, offset in {0: (10, 0), 3: (0, 10), 6: (-10, 0), 9: (0, -10), 12: (12, 10)}.items():
    label = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
    plane.annotate(f"{i}", (spiral[i].real, spiral[i].imag), **label)
plane.set(xlabel="Re h", ylabel="Im h", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
plane.set_title("The bucket's state falls, the spring's turns")
response.axhline(0, color="0.6", linewidth=0.8)
curves = {"spring, c = 1": y_spring, "bucket, c = 1": y_bucket, "spring, c = -i": y_sine}
for i, (name, curve) in enumerate(curves.items()):
    response.plot(j, curve, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], markersize=4, linewidth=1.2, label=name)
response.set(xlabel="tokens since the impulse, j", ylabel="output")
response.set_title("The spring can weigh an earlier token most, the bucket can't")
response.legend(frameon=False)
plt.show()

# %% [markdown]
# ## A spring listens to one period
#
# Push a swing in its own rhythm and it swings high. In any other rhythm the pushes soon work against each other. Our
# spring turns once in 12 tokens. We send in two waves of the same size, with periods of 12 and of 5 tokens. A cosine is
# $(e^{i\theta t} + e^{-i\theta t}) / 2$. With period 12 its first half turns as the state does. So it adds up as in a
# bucket, to $1 / (1 - r) / 2 = 10$. Expected: the first output is about 10 high, the second stays near 1.

# %%
time = np.arange(120)
outputs = {}
for period in (12, 5):
    _, outputs[period] = run(lam, 1.0, np.cos(2 * np.pi * time / period))
    print(f"period {period:2d}: largest output at the end {abs(outputs[period][-30:]).max():.2f}")
assert abs(outputs[12][-30:]).max() > 9
assert abs(outputs[5][-30:]).max() < 1.5

# %%
figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
axis.axhline(0, color="0.6", linewidth=0.8)
for i, (period, curve) in enumerate(outputs.items()):
    name = f"input of period {period}"
    axis.plot(time, curve, linestyle=DASHES[i], color=COLOURS[i], linewidth=1.4, label=name)
axis.set(xlabel="token t", ylabel="output $y_t$", ylim=(-11, 16))
axis.set_title("A pole that turns once in 12 tokens answers a wave of period 12")
axis.legend(frameon=False, loc="upper left", ncols=2)
plt.show()

# %% [markdown]
# ## The kernel
#
# The recurrence is **linear**: the output for a sum of two inputs is the sum of the two outputs, and twice the input
# gives twice the output. Every sequence is a sum of impulses, each shifted to its place and multiplied by its token. So
# the impulse response says everything. It has a name of its own, the **kernel**, $k_j$, and the output is
#
# $$ k_j = \mathrm{Re}\,(c\, \lambda^j), \qquad y_t = \sum_{j=0}^{t-1} k_j\, u_{t-j}. $$
#
# Such a sum is a **convolution** of u with k. We compute one output by hand, for a random input. Python counts the
# tokens from 0, so $u_t$ is `u[t - 1]`.

# %%
u = rng.normal(size=100)
_, y = run(lam, -1j, u)
k = (-1j * lam ** np.arange(100)).real
t = 40
by_hand = sum(k[j] * u[t - 1 - j] for j in range(t))
print(f"y_40 by the recurrence {y[t - 1]:.6f}, by the sum {by_hand:.6f}")
assert np.isclose(y[t - 1], by_hand)
assert np.allclose(y, np.convolve(u, k)[:100])  # all outputs at once

# %% [markdown]
# So there are two ways to compute the same output: token by token with a small state, or all at once with a long
# kernel. Tutorial 3 is about this choice. A rule that makes outputs by one kernel, the same at every t, is called a
# **filter**. (In full: a linear, time-invariant one.)
#
# ## Several poles, several channels
#
# One pole keeps one sum of the past. So one takes several, say N, reads each with its own weight, and adds:
#
# $$ k_j = \mathrm{Re} \sum_{n=1}^{N} c_n \lambda_n^j. $$
#
# And often a token isn't one number. Rain, wind and temperature of an hour are three, and a **model** (a whole neural
# network) gives each token D numbers. Each of the D, over time, is a **channel**. It has its own filter, with its own
# poles. The library's `ms.scan.recurrent` runs all of them, for B sequences at once:
#
# | array | shape | meaning |
# |---|---|---|
# | `u` | (B, L, D) | B sequences of L tokens, with D channels |
# | `log_lam`, `c` | (D, N) | $\log\lambda$ and c: N poles in each channel (tutorial 2: why the logarithm) |
# | `y`, `h_last` | (B, L, D), (B, D, N) | the outputs, and the last state |
#
# It also returns a function for the gradients (tutorial 4). Here are one sequence, two channels and three poles:
# $B = 1$, $D = 2$, $N = 3$. Expected: each channel is the sum of three of our runs, and `ms.scan.kernel` gives the
# formula's k, of shape (D, L).

# %%
lams = np.array([[0.9 * np.exp(0.3j), 0.8 * np.exp(1j), 0.97], [0.5, 0.7, 0.99 * np.exp(2j)]])  # (D, N)
cs = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
u = rng.normal(size=(1, 100, 2))

y, h_last, _ = ms.scan.recurrent(np.log(lams), cs, u)
k, _ = ms.scan.kernel(np.log(lams), cs, length=100)
print("y", y.shape, "  h_last", h_last.shape, "  k", k.shape)
for d in range(2):
    runs = [run(lams[d, n], cs[d, n], u[0, :, d]) for n in range(3)]
    assert np.allclose(y[0, :, d], sum(outputs for _, outputs in runs))
    assert np.allclose(h_last[0, d], [states[-1] for states, _ in runs])
    assert np.allclose(k[d], [(cs[d] * lams[d] ** j).sum().real for j in range(100)])
    assert np.allclose(y[0, :, d], np.convolve(u[0, :, d], k[d])[:100])

# %% [markdown]
# So what can one number remember? One sum of the past, weighted by the powers of its pole: how much (a bucket), or how
# much at which rhythm (a spring). The weights are the same whatever the tokens are. A filter doesn't look at what it
# sums up. Tutorial 5 shows what it therefore can't do.
#
# ## To try
#
# 1. What do poles outside our examples do: $\lambda = 1$, $1.02$ and $-0.8$? Begin with
#    `states, _ = run(1.02, 1.0, np.ones(200))`, and take $\lambda = 1$ and $-0.8$ in the same way.
# 2. Build a filter that answers to a change of its input, and not to its level: its output for a constant input must
#    tend to 0. Two buckets are enough: `lams, cs = np.array([0.5, 0.9]), np.array([1.0, c_2])`. Find `c_2`.
# 3. Three buckets hold three sums. Can you read three tokens back from their last states? Begin with
#    `last = [run(lam, 1.0, np.array([2.0, -1.0, 3.0]))[0][-1] for lam in (0.3, 0.6, 0.9)]`. What about four tokens?

# %% [markdown]
# # 4. The backward by hand
#
# Training needs the derivative of one number, the loss L, with respect to every parameter. This library has no
# automatic differentiation: every function returns, after its result, a function `backward` that was derived by
# hand. This tutorial derives the backward of the recurrence, checks it, breaks it, and shows how to look inside.
#
# A name with a d in front is a derivative of L: du is dL/du, and has the shape of u.

# %%
import inspect
import io
import pdb
import sys

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.lab.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

rng = np.random.default_rng(0)

# %% [markdown]
# ## The derivative with respect to a complex number
#
# The loss is real, but poles and states are complex: z = x + i y. Moving z means moving x and y, so we need both
# derivatives, and we keep them together in one complex number:
#
# $$ dz = \frac{\partial L}{\partial \mathrm{Re}\, z} + i\, \frac{\partial L}{\partial \mathrm{Im}\, z}. $$
#
# For a small change e of z, the loss changes by dx Re e + dy Im e = Re(conj(dz) e). This is the only fact we need. Say
# z is multiplied by a constant a, and w = a z has the derivative dw. Then e changes w by a e, and the loss by
#
# $$ \mathrm{Re}(\overline{dw}\; a\, e) = \mathrm{Re}(\overline{\bar a\, dw}\; e), \qquad\text{so}\qquad
#    dz = \bar a\, dw. $$
#
# **Where the forward multiplies by a number, the backward multiplies by its conjugate.** Two more rules follow in the
# same way. If only the real part of w is used, then dw is real. If z is real, then dz is the real part of the rule's
# result.
#
# An example with numbers: L = Re(g w) with w = a z. Then dw = conj(g), and dz = conj(a) dw. We compare with the
# differences that define dz.

# %%
a, z, g = 0.6 + 0.7j, 0.3 - 0.4j, 1.1 + 0.2j


def loss(z):
    return (g * (a * z)).real


step = 1e-6
by_x = (loss(z + step) - loss(z - step)) / (2 * step)
by_y = (loss(z + 1j * step) - loss(z - 1j * step)) / (2 * step)
dz = np.conj(a) * np.conj(g)
print("by differences", np.round(by_x + 1j * by_y, 6), "  by the rule", np.round(dz, 6))
assert np.isclose(by_x + 1j * by_y, dz)
assert not np.isclose(by_x + 1j * by_y, a * np.conj(g))  # without the conjugate of a

# %% [markdown]
# (PyTorch has the same convention; autograd and JAX return the conjugate of this dz. Both are consistent. Mixing them
# is the mistake that the second half of this tutorial is about.)
#
# ## The adjoint recursion
#
# The forward of one channel with one pole, for t = 1 .. L:
#
# $$ h_t = \lambda h_{t-1} + u_t, \qquad y_t = \mathrm{Re}(c\, h_t). $$
#
# Given are dy_t for all t (real), and perhaps a derivative dh_last of the last state h_L, if something else uses it.
# Where is h_t used? In y_t, where it is multiplied by c; and in h_{t+1}, where it is multiplied by lam. By the rule:
#
# $$ dh_t = \bar c\, dy_t + \bar\lambda\, dh_{t+1}, \qquad dh_L = \bar c\, dy_L + dh_\mathrm{last}. $$
#
# This is the **adjoint recursion**. It is the forward recurrence with conj(lam), and it runs from the last token to
# the first. The state carries the past to the future. Its derivative carries the future back to the past. All other
# derivatives can be read off it:
#
# | used | so |
# |---|---|
# | u_t is added to h_t, and u_t is real | du_t = Re dh_t |
# | lam is multiplied by h_{t-1} to give h_t, at every t | dlam = sum over t of dh_t conj(h_{t-1}) |
# | c is multiplied by h_t to give y_t, at every t | dc = sum over t of dy_t conj(h_t) |
# | h_0 is multiplied by lam to give h_1 | dh_0 = conj(lam) dh_1 |
# | lam = exp(log_lam), whose derivative is lam itself | dlog_lam = conj(lam) dlam |
#
# In Python, for a channel of 12 tokens:

# %%
length = 12
lam, c = 0.9 * np.exp(0.5j), 0.8 - 0.6j
u, dy = rng.normal(size=length), rng.normal(size=length)
h0, dh_last = 0.3 + 0.1j, -0.2 + 0.5j

h = [h0]  # h[t] is the state after t tokens
for t in range(1, length + 1):
    h.append(lam * h[t - 1] + u[t - 1])  # Python counts the tokens from 0

dh = [0j] * length + [dh_last]  # dh[t] belongs to h[t]
for t in range(length, 0, -1):
    dh[t] += np.conj(c) * dy[t - 1]
    dh[t - 1] += np.conj(lam) * dh[t]

h, dh = np.array(h), np.array(dh)
du = dh[1:].real
dlam = (dh[1:] * np.conj(h[:-1])).sum()
dc = (dy * np.conj(h[1:])).sum()
dlog_lam = np.conj(lam) * dlam

# %% [markdown]
# The library's function returns `backward` as its last result. `backward` takes one derivative for each output, and
# returns one for each input: `dlog_lam, dc, du, dh0 = backward(dy, dh_last)`. With B = D = N = 1 it must agree with
# our loop.

# %%
one = np.ones((1, 1))
y, h_last, backward = ms.scan.recurrent(np.log(lam) * one, c * one, u[None, :, None], h0 * one[None])
found = backward(dy[None, :, None], dh_last * one[None])
for name, ours, theirs in zip(("dlog_lam", "dc", "du", "dh0"), (dlog_lam, dc, du, dh[0]), found, strict=True):
    print(f"{name:9s} largest difference {abs(ours - theirs.ravel()).max():.1e}")
    assert np.allclose(ours, theirs.ravel())

# %% [markdown]
# Now read `recurrent` in `minissm/scan/diagonal.py`. Its backward stands inside its forward, and has the same lines for
# many channels and poles at once.
#
# The adjoint recursion is a recurrence, so everything from tutorial 3 holds for it too. Unrolled it is a convolution
# that runs backward in time. Its kernel Re(conj(c) conj(lam)^j) is the forward kernel: the real part does not see the
# conjugate. So du is the output of the *same* channel for the input dy, with time turned around:

# %%
backward_in_time, _, _ = ms.scan.recurrent(np.log(lam) * one, c * one, dy[None, ::-1, None])
_, _, backward = ms.scan.recurrent(np.log(lam) * one, c * one, u[None, :, None])
_, _, du, _ = backward(dy[None, :, None])
assert np.allclose(backward_in_time[:, ::-1], du)

# %% [markdown]
# That is why all three modes have a backward as cheap as their forward, and the three agree:

# %%
B, L, D, N = 2, 50, 4, 3
filter_ = ms.S4d(poles=N)
(log_lam, c), _ = filter_(filter_.init(rng, D))
u, dy = rng.normal(size=(B, L, D)), rng.normal(size=(B, L, D))
_, _, backward = ms.scan.recurrent(log_lam, c, u)
exact = backward(dy)
for name, scan in ms.scan.MODES.items():
    _, _, backward_of_mode = scan(log_lam, c, u)
    worst = max(abs(a - b).max() / abs(b).max() for a, b in zip(backward_of_mode(dy), exact, strict=True))
    print(f"{name:10s} {worst:.1e}")
    assert worst < 1e-12

# %% [markdown]
# ## Is it right? The gradient check
#
# A backward can be wrong without any error message, and training with a wrong gradient often still works a little. So
# every backward is compared with differences of its forward. `ms.gradcheck(f, *inputs)`:
#
# 1. draws random numbers w for the outputs and takes L = sum of w y, so that dy = w;
# 2. for one input (a *leaf*) z, draws a random direction d, and computes (L(z + h d) - L(z - h d)) / 2h;
# 3. compares with what the backward says about this direction, Re sum conj(dz) d, and repeats for every leaf.
#
# Expected in double precision: relative errors well below 1e-6. Gradients with respect to complex numbers are checked
# in complex directions.

# %%
h0 = rng.normal(size=(B, D, N)) + 1j * rng.normal(size=(B, D, N))
report = ms.gradcheck(ms.scan.recurrent, log_lam, c, u, h0, names=("log_lam", "c", "u", "h0"))
print(report)
assert report.ok

# %% [markdown]
# Why not take a much smaller h? Two errors work against each other. The central difference is wrong by about h^2 (the
# next term of the Taylor series). And L is rounded to a relative eps (2e-16 in double, 1e-7 in single precision). The
# rounding is divided by h: that is an error of about eps / h. The two are equal near h = eps^(1/3),
# which is 6e-6 in double precision, and that is the h of `gradcheck`. (For strongly curved functions the best h is
# smaller.) In single precision eps^(1/3) is 5e-3, and the error left is 1e-4 or more: enough to find a wrong formula,
# useless to find a small mistake.
#
# We measure it: the error for the poles, moved in 10 random directions, with 10 tokens.

# %%
steps = 10.0 ** np.arange(-12, -0.9, 0.5)


def error_by_step(precision):
    """The median error of the central difference over 10 directions, for each step h."""
    complex_ = np.result_type(precision, np.complex64)

    def loss(z):
        y, _, _ = ms.scan.recurrent(z.astype(complex_), c.astype(complex_), u[:, :10].astype(precision))
        return float((dy[:, :10] * y).sum())

    _, _, backward = ms.scan.recurrent(log_lam, c, u[:, :10])
    dlog_lam, *_ = backward(dy[:, :10])
    errors = []
    for _ in range(10):
        d = rng.normal(size=log_lam.shape) + 1j * rng.normal(size=log_lam.shape)
        truth = (np.conj(dlog_lam) * d).sum().real
        difference = [(loss(log_lam + h * d) - loss(log_lam - h * d)) / (2 * h) for h in steps]
        errors.append(abs(np.array(difference) - truth) / abs(truth))
    return np.median(errors, axis=0)


by_step = {precision: error_by_step(precision) for precision in ("float64", "float32")}
for precision, errors in by_step.items():
    print(f"{precision}: smallest error {errors.min():.0e}, at h = {steps[errors.argmin()]:.0e}")
assert by_step["float64"].min() < 1e-8
assert by_step["float32"].min() < 1e-2
assert by_step["float64"][0] > 100 * by_step["float64"].min()  # h too small: rounding
assert by_step["float64"][-3] > 100 * by_step["float64"].min()  # h = 0.01, too large: curvature

# %%
figure, axis = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
for i, (precision, errors) in enumerate(by_step.items()):
    axis.loglog(steps, errors, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], markersize=4, label=precision)
    used = np.finfo(precision).eps ** (1 / 3)
    axis.axvline(used, color=COLOURS[i], linestyle=":", linewidth=1.2)
    label = {"xytext": (-4, 0), "textcoords": "offset points", "rotation": 90, "ha": "right", "va": "top"}
    axis.annotate(f"eps^(1/3), {precision}", (used, 5e5), fontsize=9, **label)
guide = 10.0 ** np.array([-4.5, -2.75])
axis.loglog(guide, by_step["float64"][-3] / 30 * (guide / 1e-2) ** 2, color="0.4", linewidth=1)
axis.annotate("slope 2", (2e-4, by_step["float64"][-3] / 1e6), color="0.3", fontsize=9)
axis.set(xlabel="step h of the difference", ylabel="relative error", ylim=(1e-12, 1e6))
axis.set_title("Central differences against the backward: too small a step is as bad as too large", fontsize=10.5)
axis.grid(alpha=0.25)
axis.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ## What a forgotten conjugate does
#
# The most common mistake in this backward is lam where conj(lam) is meant. We make it without touching the library. In
# a backward with no conjugates at all, every complex number is the conjugate of the right one. So it is enough to
# conjugate the results of the right backward. (The real du = Re dh does not change.)


# %%
def without_conjugates(log_lam, c, u, h0=None):
    """ms.scan.recurrent with every conjugate of its backward forgotten."""
    y, h_last, backward = ms.scan.recurrent(log_lam, c, u, h0)

    def wrong(dy, dh_last=None):
        dlog_lam, dc, du, dh0 = backward(dy, None if dh_last is None else np.conj(dh_last))
        return np.conj(dlog_lam), np.conj(dc), du, np.conj(dh0)

    return y, h_last, wrong


# %% [markdown]
# The scan never stands alone: its poles come from real parameters, log_dt, log_re, im and c. The filter turns them into
# `Poles(log_lam, c)`, and its backward takes the gradient in the same form. This function puts filter and scan
# together, and has the library's contract itself: `y, backward = f(p, u)`. The backward calls the two backwards in
# reverse order.


# %%
def channels(p, u, scan):
    """u -> y, with poles and weights from the parameters p of the filter S4D."""
    poles, back_filter = ms.filters.s4d(p)
    y, _, back_scan = scan(*poles, u)

    def backward(dy):
        dlog_lam, dc, du, _ = back_scan(dy)
        return back_filter(ms.Poles(dlog_lam, dc)), du

    return y, backward


def right_channels(p, u):
    return channels(p, u, ms.scan.recurrent)


def wrong_channels(p, u):
    return channels(p, u, without_conjugates)


real = ms.S4d(poles=N, variant="real").init(rng, D)  # lam = exp(-dt (n + 1)), c real
turning = ms.S4d(poles=N).init(rng, D)  # lam = exp(dt (-1/2 + i pi n)), c complex
for p in (real, turning):
    ms.gradcheck(right_channels, p, u)

# %% [markdown]
# Now the wrong one. With real poles it passes: a real number is its own conjugate. A test with real poles alone never
# finds this mistake.

# %%
report = ms.gradcheck(wrong_channels, real, u, names=("p", "u"))
print(report)
assert report.ok

# %% [markdown]
# With complex poles `gradcheck` raises `ms.GradientError`, whose message is the report. Which leaves are wrong?
#
# * `im`, the rotation, is the imaginary part of log_lam: its gradient has the wrong **sign**. It is off by 200 %, and
#   training would turn the poles away from where they should go.
# * `log_re`, the decay, needs the real part alone, which is right.
# * `c` has a right half (real part) and a half of the wrong sign, `log_dt` mixes both.
# * `u` is right! A test of the gradient of the input alone would find nothing.

# %%
try:
    ms.gradcheck(wrong_channels, turning, u, names=("p", "u"))
except ms.GradientError as raised:
    print(raised)
    wrong = {row.leaf for row in raised.report.rows if not row.ok}
else:
    raise AssertionError("the check should have failed")

assert wrong == {"p.log_dt", "p.im", "p.c"}

# %% [markdown]
# The size of the mistake, leaf by leaf: |wrong - right| / |right|, expected 200 % for `im` and 0 for `log_re` and `u`.

# %%
_, backward = right_channels(turning, u)
_, backward_wrong = wrong_channels(turning, u)
(dp, du), (dp_wrong, du_wrong) = backward(dy), backward_wrong(dy)
off = {name: np.linalg.norm(dp_wrong[name] - dp[name]) / np.linalg.norm(dp[name]) for name in dp}
off["u"] = np.linalg.norm(du_wrong - du) / np.linalg.norm(du)
print({name: f"{100 * x:.0f} %" for name, x in off.items()})
assert np.isclose(off["im"], 2)
assert off["log_re"] < 1e-12
assert off["u"] < 1e-12
assert off["c"] > 0.5

# %% [markdown]
# There is another way to go wrong: forget only the conjugate of lam in the adjoint recursion,
# dh_t = conj(c) dy_t + lam dh_{t+1}. Then du is wrong as well. The library's backward at conj(lam) computes this
# recursion, so we can look at its du without writing a new one.

# %%
(log_lam, c), _ = ms.filters.s4d(turning)
_, _, backward_at_conjugate = ms.scan.recurrent(np.conj(log_lam), c, u)
du_half_wrong = backward_at_conjugate(dy)[2]
off_half = np.linalg.norm(du_half_wrong - du) / np.linalg.norm(du)
print(f"conjugate of lam forgotten in the adjoint recursion: du off by {100 * off_half:.0f} %")
assert off_half > 0.2

# %%
_, backward = right_channels(real, u)
_, backward_wrong = wrong_channels(real, u)
(dp, du), (dp_wrong, du_wrong) = backward(dy), backward_wrong(dy)
off_real = {name: np.linalg.norm(dp_wrong[name] - dp[name]) / np.linalg.norm(dp[name]) for name in dp}
off_real["u"] = np.linalg.norm(du_wrong - du) / np.linalg.norm(du)

figure, axis = plt.subplots(figsize=(7.5, 4), layout="constrained")
names = ("log_dt", "log_re", "im", "c", "u")
series = {"complex poles": off, "real poles (exact; they have no im)": off_real}
for i, (label, values) in enumerate(series.items()):
    positions = [x + (i - 0.5) * 0.36 for x, name in enumerate(names) if name in values]
    heights = [100 * values[name] for name in names if name in values]
    bars = axis.bar(positions, heights, 0.34, label=label, color=COLOURS[i], hatch=("", "//")[i], edgecolor="black")
    axis.bar_label(bars, fmt="%.0f %%", fontsize=9)
axis.set_xticks(range(len(names)), names)
axis.set(ylabel="error of the gradient, in % of its size", ylim=(0, 240), xlabel="leaf")
axis.set_title("Every conjugate of the backward forgotten", fontsize=10.5)
axis.legend(frameon=False, loc="upper right")
plt.show()

# %% [markdown]
# ## A whole model in one line
#
# A model has the same contract, `y, backward = net(params, x)`. So the same function checks it: all blocks, the
# embedding, the readout, and the gradient with respect to the input. For the latter the tokens must be one-hot vectors
# (there is no derivative with respect to an integer). Differences need `dtype="float64"`.

# %%
net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=5, width=4, dtype="float64")
rng = np.random.default_rng(1)
params = net.init(rng)
x_onehot = np.eye(5)[rng.integers(0, 5, (2, 7))]

report = ms.gradcheck(net, params, x_onehot)  # this is the line

print(f"{len(report.rows)} leaves; the worst: {report.worst}")
assert report.ok
assert {"input 0.embed.w", "input 0.blocks.0.filter.log_dt", "input 1"} <= {row.leaf for row in report.rows}

# %% [markdown]
# The same for each mode of the scan: a lambda fixes the option.

# %%
for mode in ("recurrent", "chunked", "fft"):
    report = ms.gradcheck(lambda p, x, mode=mode: net(p, x, mode=mode), params, x_onehot)
    print(f"{mode:10s} worst error {report.worst.error:.1e}")
    assert report.ok

# %% [markdown]
# ## Looking inside a backward
#
# A backward is an inner function, and remembers those variables of its forward that it uses. From outside,
# `inspect.getclosurevars` shows them. They are the memory that training needs: all L + 1 states. (So let go of a
# backward that you don't need: `y, h_last, _ = ...`.)

# %%
y, _, backward = ms.scan.recurrent(log_lam, c, u)
kept = inspect.getclosurevars(backward).nonlocals
for name, value in kept.items():
    print(f"{name:8s}", f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__)
assert len(kept["states"]) == L + 1
assert "u" not in kept  # the backward of the recurrence does not need the input

# %% [markdown]
# To walk through it line by line, start it under the debugger:
#
#     pdb.runcall(backward, dy)
#
# and type its commands:
#
# | command | meaning |
# |---|---|
# | `n`, `s` | next line; step into a call |
# | `p dh.shape` | print |
# | `unt` | run until the loop is over |
# | `l`, `a`, `w` | list the code, the arguments, the calls that lead here |
# | `c`, `q` | continue, quit |
#
# `breakpoint()` in your own code stops there, and `s` then goes into the next call, for example into `backward(dy)`.
# Use `mode="recurrent"`, or `with ms.reference():`, to meet the code that you read.
#
# Here the commands are written beforehand, so that this runs in the tests. The debugger stops at the first line, goes
# on for seven lines, and prints t, dy_t and dh. `u` is not known there, because the backward does not use it.

# %%
commands = ["n"] * 7 + ["p t", "p dy_t.shape", "p abs(dh).max()", "p u", "c"]
screen = io.StringIO()
debugger = pdb.Pdb(stdin=io.StringIO("\n".join(commands) + "\n"), stdout=screen, nosigint=True, readrc=False)
if sys.gettrace() is None:  # not while you step through this file with a debugger: only one can work at a time
    debugger.runcall(backward, dy)
    print(screen.getvalue())
    assert f"{L - 1}\n" in screen.getvalue()  # the backward begins with the last token
    assert "NameError: name 'u' is not defined" in screen.getvalue()

# %% [markdown]
# ## To try
#
# * Wrap `ms.scan.recurrent` so that its backward ignores dh_last. Does `gradcheck` find it? Which leaves does it name?
# * Divide du by B, as a mean over the batch would. Which check of this tutorial would not notice for B = 1?
# * Write `f(x)` for y = x^2 / (1 + x^2) with its backward, and check it. Then make it wrong by 1 %.

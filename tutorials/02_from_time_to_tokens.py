# %% [markdown]
# # 2. From time to tokens
#
# Tutorial 1 chose its poles by hand. State space models compute them: $\lambda = e^{\Delta a}$, from a step $\Delta$
# (`dt` in the code) and a number $a$. Where does this formula come from? Papers compute a second factor, $\bar B$, in
# the same way. S4D (arXiv 2206.11893) and Mamba (arXiv 2312.00752) treat it differently. The library has S4D's filter,
# and leaves the factor out. Why?
#
# - **Goals**: derive $\lambda$ and $\bar B$; distinguish four rules that give them; explain the role of dt in a filter
#   and in Mamba.
# - **You need**: tutorial 1; derivatives, the integral of $e^{at}$.
# - **Time**: 60 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

plt.rcParams["axes.titlesize"] = 10.5

# %% [markdown]
# ## The bucket in continuous time
#
# A real bucket leaks all the time, not once an hour. Let $h(t)$ be the water in it and $u(t)$ the rain. The more
# water, the faster it leaks. This is a differential equation:
#
# $$ h'(t) = a\, h(t) + u(t), \qquad \mathrm{Re}\, a < 0. $$
#
# A real $a$ describes the bucket, a complex $a$ the damped spring. Without rain $h' = a h$, and so
# $h(t) = e^{at} h(0)$. We look once a step, and a step lasts dt. **From one step to the next the state is multiplied
# by** $\lambda = e^{\Delta a}$, the pole of tutorial 1. We call $a$ the pole in continuous time.
#
# The library's parameters are $a$ and dt, and its functions take $\log\lambda = \Delta a$. For $\mathrm{Re}\, a < 0$,
# $|\lambda| < 1$ for every dt: the filter always forgets. The library stores the logarithms of $-\mathrm{Re}\, a$ and
# dt, so that both stay positive when training changes them (tutorial 4).
#
# ## What dt means
#
# One token lasts dt units of time. S4D has N poles in each channel. Before training they are $a_n = -1/2 + i\pi n$ with
# $n = 0, \dots, N-1$. (S4D calls this choice "lin".) So:
#
# - decay: $|\lambda| = e^{-\Delta/2}$. The state falls to $1/e = 37\%$ in $2/\Delta$ tokens.
# - rotation: the angle of $\lambda$ is $\pi n \Delta$. The state makes one turn in $2/(n\Delta)$ tokens.
#
# A small dt gives a long memory that turns slowly, a large dt a short memory that turns fast. Each channel has its own
# dt, here drawn at random between 0.01 and 1 at first. (S4D's code has 0.001 to 0.1, for longer sequences.)

# %%
a = -0.5 + 1j * np.pi  # n = 1
steps = (1.0, 0.3, 0.1, 0.03)
for dt in steps:
    lam = np.exp(dt * a)
    turn, fall = 2 * np.pi / np.angle(lam), -1 / np.log(abs(lam))  # tokens
    print(f"dt {dt:5.2f}   |lam| {abs(lam):.3f}   37 % after {fall:5.1f} tokens   one turn in {turn:5.1f} tokens")
    assert np.allclose([fall, turn], 2 / dt)

# %%
one = np.ones((1, 1), complex)  # (D, N) = (1, 1): one channel, one pole
figure, (plane, response) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(1, 1.5))
plane.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
grid = np.linspace(0, 1, 400)
plane.plot(np.exp(grid * a).real, np.exp(grid * a).imag, color="0.75", linewidth=1)
response.axhline(0, color="0.6", linewidth=0.8)
for i, dt in enumerate(steps):
    lam = np.exp(dt * a)
    plane.plot(lam.real, lam.imag, MARKS[i], color=COLOURS[i], markersize=8)
    k, _ = ms.scan.kernel(dt * a * one, one, length=100)
    style = {"marker": MARKS[i], "markevery": (0, 5), "markersize": 5, "linestyle": DASHES[i], "color": COLOURS[i]}
    response.plot(k[0], label=f"dt = {dt}", linewidth=1.4, **style)
plane.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
plane.set_title(r"The pole $\lambda$ for four steps dt")
response.set(xlabel="tokens since the impulse, j", ylabel="its kernel", xlim=(-1, 80), title="Small dt, long memory")
response.legend(frameon=False)
plt.show()

# %% [markdown]
# There is a limit. A pole that turns by more than 180 degrees a token seems to turn the other way, like wheels in
# films. This is called **aliasing**. Expected: with dt = 0.5 the pole $n = 3$ (270 degrees a token) is the mirror image
# of $n = 1$ (90 degrees). The kernels are real parts, so they are equal. No kernel has a period below two tokens.

# %%
third, _ = ms.scan.kernel(0.5 * (-0.5 + 3j * np.pi) * one, one, length=50)
first, _ = ms.scan.kernel(0.5 * (-0.5 + 1j * np.pi) * one, one, length=50)
assert np.allclose(third, first)

# %% [markdown]
# ## The rain: what enters in one step
#
# We know the input u only once a step. The simplest guess is that it keeps the value $u_t$ through the whole step. This
# is called a **zero-order hold**, ZOH. (In control theory the held value is $u_{t-1}$. Here an output sees its own
# token.) A drop that falls a time s before the end of the step has shrunk to $e^{as}$ by then. The sum over the step is
#
# $$ h_t = e^{\Delta a} h_{t-1} + b\, u_t, \qquad
#    b = \int_0^{\Delta} e^{as}\, ds = \frac{e^{\Delta a} - 1}{a}. $$
#
# A rule that gives $\lambda$ and b from $a$ and dt is called a **discretisation**. (Papers have $B u$ in place of u,
# with a weight B, and $\bar B = bB$.) Here are four. The middle two replace $h'$ by $(h_t - h_{t-1}) / \Delta$, and
# $a h$ by $a h_{t-1}$ (**forward Euler**) or by the mean $a (h_{t-1} + h_t)/2$ (**bilinear**). Mamba's code takes
# $\lambda$ from ZOH and b from Euler.
#
# | rule | $\lambda$ | b |
# |---|---|---|
# | ZOH | $e^{z}$, with $z = \Delta a$ | $\Delta\,\varphi(z)$, with $\varphi(z) = (e^z - 1)/z$ |
# | Euler | $1 + z$ | $\Delta$ |
# | bilinear | $(1 + z/2) / (1 - z/2)$ | $\Delta / (1 - z/2)$ |
# | Mamba's mix | $e^{z}$ | $\Delta$ |
#
# For $a = 0$ the formula of ZOH is 0/0. Its limit is harmless: $\varphi(z) = 1 + z/2 + \dots$, so $b = \Delta$. And for
# a tiny z the subtraction loses most digits of $e^z - 1$. `np.expm1(z)` keeps them.


# %%
def phi(z):
    """(exp(z) - 1) / z, and 1 at z = 0."""
    z = np.asarray(z, complex)
    safe = np.where(z == 0, 1, z)
    return np.where(z == 0, 1, np.expm1(safe) / safe)


RULES = {
    "ZOH": lambda dt, a: (np.exp(dt * a), dt * phi(dt * a)),
    "Euler": lambda dt, a: (1 + dt * a, dt),
    "bilinear": lambda dt, a: ((1 + dt * a / 2) / (1 - dt * a / 2), dt / (1 - dt * a / 2)),
    "Mamba's mix": lambda dt, a: (np.exp(dt * a), dt),
}

z = -1e-12
print(f"phi(-1e-12) = 1 - 5e-13.  plain {(np.exp(z) - 1) / z:.12f},  by expm1 {phi(z).real:.12f}")
assert abs((np.exp(z) - 1) / z - 1) > 1e-6
assert np.allclose(phi([z, 0]), 1, rtol=0, atol=1e-12)

# %% [markdown]
# How large are the errors? We start at $h(0) = 0$, send in $u(t) = \cos(wt)$, and stop at time 1. The exact $h(1)$ is
# known: the cosine is the mean of $e^{iwt}$ and $e^{-iwt}$, and for these the integral is easy. The rules see only
# $u_t = u(t\Delta)$. The bilinear rule gets the mean of $u_{t-1}$ and $u_t$, as in numerical analysis. If an error is
# proportional to $\Delta^p$, then log(error) against log(dt) is a line of slope p. We fit p.
#
# Expected: for $w = 0$ the input is constant, and ZOH is exact. Euler and the mix have slope 1, bilinear 2. For $w = 3$
# the hold is a guess, too, and ZOH has slope 1. For $a = 0$ all rules have $\lambda = 1$ and $b = \Delta$. Three rules
# give the same sum, and the bilinear rule gives a sum of means.


# %%
def exact(a, w):
    """h(1) for h' = a h + cos(w t), h(0) = 0."""
    return sum((np.exp(v) - np.exp(a)) / (v - a) / 2 for v in (1j * w, -1j * w))


def error(rule, a, w, n, mean):
    """|h_n - h(1)| / |h(1)| for n steps of dt = 1/n."""
    lam, b = RULES[rule](1 / n, a)
    u = np.cos(w * np.arange(n + 1) / n)
    inputs = (u[1:] + u[:-1]) / 2 if mean else u[1:]
    h = (lam ** np.arange(n)[::-1] * b * inputs).sum()  # the recurrence, unrolled
    return abs(h - exact(a, w)) / abs(exact(a, w))


counts = 2 ** np.arange(4, 11)
cases = {"Input held: ZOH is exact": (a, 0), "Input cos(3t): bilinear wins": (a, 3), "a = 0: three are one": (0, 3)}
figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained", sharey=True)
for panel, (title, (pole, w)) in zip(panels, cases.items(), strict=True):
    for i, rule in enumerate(RULES):
        errors = np.array([error(rule, pole, w, n, rule == "bilinear") for n in counts])
        exactly = rule == "ZOH" and w == 0
        slope = 0 if exactly else np.polyfit(np.log(1 / counts), np.log(errors), 1)[0]
        assert errors.max() < 1e-12 if exactly else abs(slope - (2 if rule == "bilinear" else 1)) < 0.1
        label = f"{rule}: exact" if exactly else f"{rule}: slope {slope:.2f}"
        style = {"marker": MARKS[i], "linestyle": DASHES[i], "color": COLOURS[i], "markersize": 8 - 2 * i}
        panel.loglog(1 / counts, errors, label=label, linewidth=1.2, **style)
        print(f"{title:30s} {label}")
    panel.set(xlabel="step dt", ylim=(1e-7, 1e4), title=title)
    panel.legend(frameon=False, loc="upper left", fontsize=9)
panels[0].set_ylabel("relative error of h(1)")
plt.show()
for mean in (False, True):
    slopes = [np.log2(error(rule, a, 3, 512, mean) / error(rule, a, 3, 1024, mean)) for rule in ("ZOH", "bilinear")]
    print("means:    " if mean else "u_t alone:", "slopes of ZOH and bilinear", np.round(slopes, 2))
    assert np.allclose(slopes, 1 + mean, atol=0.1)

# %% [markdown]
# In the middle panel the mix has a smaller error than ZOH. This is luck: two errors partly cancel. Only the slope is
# general. **The slope 2 of the bilinear rule there comes from the mean.** With $u_t$ alone, as in S4, it is 1. With
# the mean, ZOH has slope 2, too. (Mamba-3, arXiv 2603.15569, uses both tokens for this reason.) But the tokens of a
# text are not samples of a curve, and there is no exact $h(t)$. What decides? For $\lambda$ there is an answer.
#
# ## Why not Euler: the unit circle
#
# A filter must forget, so $\lambda$ must lie inside the circle $|\lambda| = 1$. For $\mathrm{Re}\, a < 0$ ZOH and the
# bilinear rule guarantee this. Euler doesn't: $|1 + \Delta a|$ exceeds 1 for $\Delta > -2\, \mathrm{Re}\, a / |a|^2$.
# For the pole above, this limit is 0.099. Expected: at dt = 0.3 Euler's state grows more than a million times in 200
# tokens.

# %%
figure, axis = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
axis.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
for i, rule in enumerate(("ZOH", "Euler", "bilinear")):
    path, marks = RULES[rule](grid, a)[0], RULES[rule](np.array([0.1, 0.3, 0.6]), a)[0]
    axis.plot(path.real, path.imag, linestyle=DASHES[i], color=COLOURS[i], label=rule)
    axis.plot(marks.real, marks.imag, MARKS[i], color=COLOURS[i], markersize=6)
axis.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", xlim=(-1.3, 1.8), ylim=(-0.4, 2.4), aspect="equal")
axis.set_title("Euler leaves the unit circle (marks: dt = 0.1, 0.3, 0.6)")
axis.legend(frameon=False)
plt.show()

assert all(abs(RULES[rule](grid[1:], a)[0]).max() < 1 for rule in ("ZOH", "bilinear"))
assert abs(RULES["Euler"](0.3, a)[0]) ** 200 > 1e6

# %% [markdown]
# ## Where is b in this library?
#
# Nowhere. Its filter is the filter of tutorial 1. If dt is the same at every token, b is a constant, and the kernel is
# $\mathrm{Re}\,(c\, b\, \lambda^j)$. So b only multiplies c. S4D has the factor b (from ZOH or the bilinear rule), this
# library hasn't. Since c is learned, both have the same set of filters. (B is left out for the same reason.) But
# training starts from other filters: the first outputs differ in size. Expected: with ZOH's b the first entry of the
# kernel is proportional to dt: slope 1. For random tokens of variance 1 the output has the size $\sqrt{\sum_j k_j^2}$.
# About $1/\Delta$ of the $k_j$ matter. So its slope is -1/2 without b, and 1/2 with b. A constant input of 1 gives
# $\mathrm{Re}(-1/a)$ for every dt. With $b/\Delta$ the kernels are nearly as large as without b.

# %%
dts = np.array([0.3, 0.1, 0.03, 0.01])
factors = {"b = 1 (this library)": 0 * dts + 1, "b of ZOH": dts * phi(dts * a), "b of ZOH, over dt": phi(dts * a)}
figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
for panel, (name, factor) in zip(panels, factors.items(), strict=True):
    kernels = (factor[:, None] * np.exp(dts[:, None] * a * np.arange(3000))).real
    noise = np.sqrt((kernels**2).sum(axis=1))
    slope_one, slope_noise = (np.polyfit(np.log(dts), np.log(size), 1)[0] for size in (abs(factor), noise))
    print(f"{name:21s} one token: slope {slope_one:5.2f}   random tokens: slope {slope_noise:5.2f}")
    assert abs(slope_one - (name == "b of ZOH")) < 0.1
    assert abs(slope_noise - (name == "b of ZOH") + 0.5) < 0.1
    for i, dt in enumerate(dts):
        panel.plot(kernels[i], linestyle=DASHES[i], color=COLOURS[i], linewidth=1.4, label=f"dt = {dt}")
    panel.set(xlabel="tokens since the impulse, j", xlim=(-1, 80))
    panel.set_title(name + (": a small dt leaves nothing" if name == "b of ZOH" else ""))
panels[0].set_ylabel("kernel")
panels[0].legend(frameon=False)
assert np.allclose(factors["b of ZOH"] / (1 - np.exp(dts * a)), -1 / a)  # constant input 1: the sum of the kernel
plt.show()

# %% [markdown]
# Does it matter? *Recall* (tutorial 6) is a task with random tokens. A good guess gets 0.456 of its answers right. We
# train a model of two layers by 1,500 small changes of its 30,000 numbers. There are two rates (the size of a change)
# and three random starts. The table shows the fraction of right answers, median (lowest to highest):
#
# | filter | its name | rate 0.008 | rate 0.032 |
# |---|---|---|---|
# | no b | `ssm` | 0.995 (0.992 to 0.998) | 0.985 (0.983 to 0.987) |
# | b of ZOH | `held` | **0.453 (0.448 to 0.463)** | 0.987 (0.806 to 0.988) |
# | b of ZOH, over dt | `held(per_dt=True)` | 0.990 (0.990 to 0.992) | 0.981 (0.979 to 0.986) |
# | b of ZOH, and c drawn 1/dt times as large | `held(large_c=True)` | 0.994 (0.989 to 0.996) | |
# | b of ZOH, no direct path at first | `held_alone` | 0.751 (0.638 to 0.974) | |
#
#     minissm run recall --plugin tutorials/plugins/held.py --lr 8e-3 --models "held + fnn1 + held + fnn1"
#
# computes the bold number, in two minutes on one core (`fnn1`: tutorial 5). The last two rows have ZOH's b, too, and
# differ only in their start. So b itself does no harm. **The first outputs are too small.** One reason is the **direct
# path**: `ssm` adds the token itself to the filter's output, with a weight of 1 at first. Without this path the model
# learns, but slowly. A higher rate is enough in two of three starts, and 6,000 changes in all three: 0.993 (0.991 to
# 0.993). In other models b may not matter. We measured only this one.
#
# ## Mamba: each token has its own dt
#
# Mamba computes each step from the token: $h_t = e^{\Delta_t a} h_{t-1} + b(\Delta_t)\, u_t$. Now b is not a constant,
# and no c can replace it. Take $a = -1$. ZOH has $\lambda = e^{-\Delta_t}$ and $b = 1 - \lambda$, so
#
# $$ h_t = (1 - g_t)\, h_{t-1} + g_t\, u_t, \qquad g_t = 1 - e^{-\Delta_t}. $$
#
# This is a **gate**. With a dt of 0 the layer ignores the token and keeps the state. With a large dt it forgets the
# state and takes the token. Mamba's mix, $b = \Delta_t$, is nearly the same for small steps, and takes a multiple of
# the token for large steps. The input is 3, 7, -8, 5. Expected: ZOH and the mix ignore 7 and -8; without b this fails.

# %%
tokens, own_dt = np.array([3.0, 7.0, -8.0, 5.0]), np.array([6.0, 0.0, 0.0, 6.0])
found = {}
for name, b in {"ZOH": 1 - np.exp(-own_dt), "Mamba's mix": own_dt, "without b": np.ones(4)}.items():
    h, states = 0.0, []
    for lam_t, b_t, u_t in zip(np.exp(-own_dt), b, tokens, strict=True):
        h = lam_t * h + b_t * u_t
        states.append(h)
    found[name] = np.array(states)
    print(f"{name:12s}", found[name].round(2))
assert np.allclose(found["ZOH"], [3, 3, 3, 5], atol=0.02)
assert np.allclose(found["Mamba's mix"], [18, 18, 18, 30], atol=0.1)
assert np.allclose(found["without b"], [3, 10, 2, 5], atol=0.02)

# %% [markdown]
# So in a filter b is a constant that c absorbs. In Mamba b is a gate. (Mamba's B is also computed from the token, and
# could learn to shut tokens out. Without b, dt couldn't.) The paper has ZOH's b, the code has $b = \Delta_t$. An author
# says that this is simpler and performs the same (github.com/state-spaces/mamba, issue 114). We haven't measured it.
# Tutorial 8 is about Mamba's layer.
#
# ## To try
#
# 1. Is one step of dt the same as two of dt/2 with the same input? For which rules? Begin with
#    `lam, b = RULES["ZOH"](0.4, a)` and `half, b_half = RULES["ZOH"](0.2, a)`.
# 2. For which dt is Euler's rule stable, for each pole of S4D? Begin with `a = -0.5 + 1j * np.pi * np.arange(8)`. Which
#    of the steps from 0.01 to 1 may a layer take?
# 3. The bilinear rule has no aliasing. What does it have instead? Compare the angles of `RULES["ZOH"](0.5, a)[0]` and
#    `RULES["bilinear"](0.5, a)[0]` for these eight poles.

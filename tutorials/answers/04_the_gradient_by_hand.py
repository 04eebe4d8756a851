# %% [markdown]
# # Answers to tutorial 4, the gradient by hand

# %%
import numpy as np

import minissm as ms

rng = np.random.default_rng(0)


def wrong_inputs(f, *inputs, names):
    """The inputs whose gradients `gradcheck` finds wrong."""
    try:
        ms.gradcheck(f, *inputs, names=names)
    except ms.GradientError as error:
        return {row.leaf for row in error.report.rows if not row.ok}
    return set()


# %% [markdown]
# ## 1. Forget the five conjugates one by one
#
# The first is in dc alone, so c is wrong. The second is where the cotangent enters the adjoint recurrence: all that is
# read off dh is wrong, log_lam and u, and c isn't. The third is in dlam alone. The fourth takes dh to the token before:
# again log_lam and u. The fifth is in the last line, and log_lam is wrong. So the pattern tells where to look. And u is
# right if *all* are forgotten: then dh is the conjugate of the right one, and the real part doesn't see it.


# %%
def channel(log_lam, c, u, conj):
    """The channel of the tutorial. conj: five functions, one for each conjugate."""
    lam = np.exp(log_lam)
    h = [np.zeros_like(lam)]
    for u_t in u:
        h.append(lam * h[-1] + u_t)

    def backward(dy):
        dh, dlam, dc, du = 0, 0, 0, np.zeros_like(u)
        for t in range(len(u), 0, -1):
            dy_t = dy[t - 1]
            dc = dc + dy_t * conj[0](h[t])
            dh = dh + dy_t * conj[1](c)
            dlam = dlam + dh * conj[2](h[t - 1])
            du[t - 1] = dh.sum().real
            dh = dh * conj[3](lam)
        return dlam * conj[4](lam), dc, du

    return np.array([(c * h_t).sum().real for h_t in h[1:]]), backward


spring = np.log([0.95 * np.exp(1j * np.pi / 6)]), np.array([0.6 - 0.8j])
u = rng.normal(size=20)
found = []
for forgotten in range(5):
    conj = [np.conj] * 5
    conj[forgotten] = np.asarray  # returns its argument

    def one_forgotten(log_lam, c, u, conj=tuple(conj)):
        return channel(log_lam, c, u, conj)

    found.append(wrong_inputs(one_forgotten, *spring, u, names=("log_lam", "c", "u")))
    print(forgotten, sorted(found[-1]))
assert found == [{"c"}, {"log_lam", "u"}, {"log_lam"}, {"log_lam", "u"}, {"log_lam"}]

# %% [markdown]
# ## 2. $y = x^2 / (1 + x^2)$
#
# The quotient rule gives $2x (1 + x^2) - x^2\, 2x = 2x$ over $(1 + x^2)^2$. A gradient that is 1 % too large is found:
# in double precision the differences are good to some $10^{-9}$.


# %%
def f(x, factor=1.0):
    return x**2 / (1 + x**2), lambda dy: factor * dy * 2 * x / (1 + x**2) ** 2


x = rng.normal(size=(3, 4))
print(ms.gradcheck(f, x, names=("x",)))
assert wrong_inputs(f, x, names=("x",)) == set()
assert wrong_inputs(lambda x: f(x, 1.01), x, names=("x",)) == {"x"}

# %% [markdown]
# ## 3. A backward that ignores dh_last
#
# The last state depends on log_lam, u and h0. Their gradients lack a part. It doesn't depend on c, which is right. The
# mistake shows only where the last state is used: training on whole sequences never finds it.


# %%
def forgetful(log_lam, c, u, h0):
    y, h_last, backward = ms.scan.recurrent(log_lam, c, u, h0)
    return y, h_last, lambda dy, dh_last: backward(dy)


filter_ = ms.S4d(poles=3)
(log_lam, c), _ = filter_(filter_.init(rng, 4))
u, h0 = rng.normal(size=(2, 7, 4)), rng.normal(size=(2, 4, 3)) + 1j * rng.normal(size=(2, 4, 3))
found = wrong_inputs(forgetful, log_lam, c, u, h0, names=("log_lam", "c", "u", "h0"))
print("wrong:", sorted(found))
assert found == {"log_lam", "u", "h0"}

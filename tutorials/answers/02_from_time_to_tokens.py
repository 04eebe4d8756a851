# %% [markdown]
# # Answers to tutorial 2, from time to tokens

# %%
import numpy as np


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

# %% [markdown]
# ## 1. One step of dt, or two of dt/2 with the same input?
#
# Let $\lambda'$ and $b'$ be the pair of a half step. Two half steps turn h into $\lambda' (\lambda' h + b' u) + b' u$.
# So $\lambda$ must be $\lambda'^2$, and b must be $(\lambda' + 1)\, b'$. ZOH satisfies both conditions, since it is the
# exact solution for a constant input. Mamba's mix has the same $\lambda$, but another b. Euler and the bilinear rule
# differ in both.

# %%
a = -0.5 + 1j * np.pi
same = {}
for name, rule in RULES.items():
    lam, b = rule(0.4, a)
    half, b_half = rule(0.2, a)
    same[name] = bool(np.isclose(lam, half**2)), bool(np.isclose(b, (half + 1) * b_half))
    print(f"{name:12s} same lam: {same[name][0]}   same b: {same[name][1]}")
assert same == {
    "ZOH": (True, True),
    "Euler": (False, False),
    "bilinear": (False, False),
    "Mamba's mix": (True, False),
}

# %% [markdown]
# ## 2. For which dt is Euler's rule stable?
#
# $|1 + \Delta a|^2 = 1 + 2 \Delta\, \mathrm{Re}\, a + \Delta^2 |a|^2$ is below 1 for
# $\Delta < -2\, \mathrm{Re}\, a / |a|^2$. The faster a pole turns, the smaller dt must be. The eighth pole needs a dt
# below 0.0021. So a layer may take none of the steps from 0.01 to 1.

# %%
a = -0.5 + 1j * np.pi * np.arange(8)
limit = -2 * a.real / abs(a) ** 2
print("stable below dt =", limit.round(4))
assert (abs(RULES["Euler"](0.99 * limit, a)[0]) < 1).all()
assert (abs(RULES["Euler"](1.01 * limit, a)[0]) > 1).all()
assert limit.min() < 0.01

# %% [markdown]
# ## 3. What does the bilinear rule have in place of aliasing?
#
# Its angle is about $2 \arctan(\Delta\, \mathrm{Im}\, a / 2)$. It grows with the frequency, and never passes 180
# degrees. So no two poles are confused, but the fast ones are slowed down and crowded together near 180 degrees. This
# is called warping.

# %%
angles = {name: np.degrees(np.angle(RULES[name](0.5, a)[0])).round(1) for name in ("ZOH", "bilinear")}
print("ZOH     ", abs(angles["ZOH"]))
print("bilinear", angles["bilinear"])
assert np.allclose(abs(angles["ZOH"]), [0, 90, 180, 90, 0, 90, 180, 90])  # poles 1, 3, 5 and 7 have the same kernel
assert (np.diff(angles["bilinear"]) > 0).all()
assert angles["bilinear"].max() < 180

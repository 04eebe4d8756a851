"""Exercise 7. Catch the mistakes of exercise 6.                          points: 10   about 6 lines

A correct scan_backward, in the convention of your sheet of exercise 6, gets one planted mistake at a time:
16 wrong functions in all.                                                                     #? gradient=sum
18 wrong functions in all.                                                                     #? gradient=half
Hand in one small input that exposes as many of them as it can. Your score is the share that it exposes.

A wrong function is exposed if its dlam, dc, du or dh0 differs from that of the correct one. A difference of a millionth
of the largest number counts. So do another shape and an exception.

    lam, c       (D, N)     complex, or real
    u, dy        (B, L, D)  real                                                               #? axes=BLD
    u, dy        (L, B, D)  real                                                               #? axes=LBD
    h0, dh_last  (B, D, N)  complex, or real

The six arrays have at most 24 numbers in all; a complex number counts as one. No nan, no inf.

Example: one pole 0.9 with c = 1, u = dy = 1, 1, 1 and h0 = dh_last = 0 are 1 + 1 + 3 + 3 + 1 + 1 = 10 numbers.
They expose few mistakes: a real number is its own conjugate, and to forget a zero changes nothing.

To find a better input, break your own ex6.py in all the ways that you can think of, and compare what it returns.
An input that exposes all of them is a good test of every backward pass that you will write. `gradcheck` of tutorial 04
is such a test, and needs no correct function.
"""
import numpy as np


def inputs():
    """-> lam, c, u, h0, dy, dh_last"""
    #BEGIN
    lam = np.array([[0.5 + 0.6j, 0.8j]])
    c = np.array([[1 + 1j, 2 - 1j]])
    u = np.array([[[1.0], [2.0]], [[3.0], [-0.5]]])
    h0 = np.array([[[1.0 - 1j, 2j]], [[0.5j, 1.0 + 1j]]])
    dy = np.array([[[1.0], [-1.0]], [[0.5], [2.0]]])
    dh_last = np.array([[[1j, 1.0]], [[1.0 + 2j, -1.0]]])
    u, dy = np.moveaxis(u, 1, 0), np.moveaxis(dy, 1, 0)  #? axes=LBD
    return lam, c, u, h0, dy, dh_last
    #END


#HINT 1 A mistake is invisible where two things are equal: a real number and its conjugate, one sequence and the sum
# over a batch, 0 and a gradient that is dropped. Where you can, avoid 0, real numbers, a single pole, a single sequence.
#HINT 2 With h0 = 0 the first state is u_1: real, whatever the pole is. D = 1 and L = 2 are enough. That leaves
# numbers for two poles and for two sequences.
#HINT 3 lam (1, 2), c (1, 2), u and dy of two sequences of two inputs, h0 and dh_last (2, 1, 2): 2 + 2 + 4 + 4 + 4 + 4
# = 20 numbers, all different. Those of lam, c, h0 and dh_last are complex.

KIND = "catch"
OF, FUNCTION, TAKES, MOST = "ex6", "scan_backward", ("lam", "c", "u", "h0", "dy", "dh_last"), 24
RETURNS = {"inputs": TAKES}

MISTAKES = {  # inputs that expose less, or nothing
    "the poles, c and the states are real":
        {"return lam, c, u, h0, dy, dh_last": "return lam.real, c.real, u, h0.real, dy, dh_last.real"},
    "there is no initial state": {"return lam, c, u, h0,": "return lam, c, u, 0 * h0,"},
    "no loss depends on the last state": {"dy, dh_last\n": "dy, 0 * dh_last\n"},
    "one sequence, so that the first of the batch is all of it":
        {", [[3.0], [-0.5]]": "", ", [[0.5j, 1.0 + 1j]]": "", ", [[0.5], [2.0]]": "", ", [[1.0 + 2j, -1.0]]": ""},
    "one pole, so that a mean is a sum":
        {"return lam, c, u, h0, dy, dh_last": "return lam[:, :1], c[:, :1], u, h0[..., :1], dy, dh_last[..., :1]"},
    "more numbers than are allowed":
        {"return lam, c, u, h0, dy": "u, dy = np.tile(u, 2), np.tile(dy, 2)\n    return lam, c, u, h0, dy"},
    "u is complex": {"return lam, c, u,": "return lam, c, 1j * u,"},
    "a number is nan": {"dh_last\n": "dh_last * np.nan\n"},
    "dh_last is left out": {"dy, dh_last\n": "dy\n"},
    "the shapes don't fit together": {"dy, dh_last\n": "dy, dh_last[0]\n"},
}


def judge(function, arrays, P):
    """The shapes: NumPy would broadcast others, and they would cost less than 24 numbers."""
    lam, c, u, h0, dy, dh_last = (a.shape for a in arrays)
    if len(lam) != 2 or len(u) != 3:
        return f"lam has the shape {lam} and u has {u}; expected 2 and 3 axes"
    B, D = (u[0] if P["axes"] == "BLD" else u[1]), lam[0]
    expected = {"c": (c, lam), "u": (u[2:], (D,)), "h0": (h0, (B, *lam)), "dy": (dy, u), "dh_last": (dh_last, h0)}
    return next((f"{name} does not fit the shapes of the others; the sheet lists its axes"
                 for name, (found, right) in expected.items() if found != right), "")

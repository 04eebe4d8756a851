"""Exercise 2. Catch the mistakes of exercise 1.                          points: 10   about 4 lines

A correct scan, in the convention of your sheet of exercise 1, gets one planted mistake at a time:
12 wrong scans in all.                                                                         #? axes=BLD
11 wrong scans in all.                                                                         #? axes=LBD
Hand in one small input that exposes as many of them as it can. Your score is the share that it exposes.

A wrong scan is exposed if its y or h_last differs from that of the correct scan. A difference of a millionth of the
largest number counts. So do another shape and an exception.

    lam, c  (D, N)     complex, or real                                                        #? axes=BLD
    u       (B, L, D)  real                                                                    #? axes=BLD
    h0      (B, D, N)  complex, or real: here it is always an array                            #? axes=BLD
    lam, c  (D, N)     complex, or real                                                        #? axes=LBD
    u       (L, B, D)  real                                                                    #? axes=LBD
    h0      (B, D, N)  complex, or real: here it is always an array                            #? axes=LBD

The four arrays have at most 16 numbers in all; a complex number counts as one. No nan, no inf.

Example: one pole 0.9, c = 1, u = 1, 1, 1, 1 and h0 = 0 are 1 + 1 + 4 + 1 = 7 numbers. They expose few mistakes: a real
number is its own conjugate, and a mean over one pole is the sum.

To find a better input, break your own ex1.py in all the ways that you can think of, and compare what it returns.
"""
import numpy as np


def inputs():
    """-> lam, c, u, h0"""
    #BEGIN
    lam = np.array([[0.5 + 0.6j, 0.8j]])
    c = np.array([[1 + 1j, 2 - 1j]])
    u = np.array([[[1.0], [2.0], [-1.0]], [[3.0], [0.5], [1.0]]])
    u = np.moveaxis(u, 1, 0)  #? axes=LBD
    h0 = np.array([[[1.0, -1j]], [[2j, 1.0]]])
    return lam, c, u, h0
    #END


#HINT 1 A mistake is invisible where two things are equal: a real number and its conjugate, one pole and the mean of one
# pole, one sequence and the first of a batch. Where you can, avoid 0, 1, real numbers, a single pole, a single sequence.
#HINT 2 D = 1 and L = 3 are enough. That leaves numbers for two poles and for two sequences.
#HINT 3 lam (1, 2), c (1, 2), u for two sequences of three inputs, h0 (2, 1, 2): 2 + 2 + 6 + 4 = 14 numbers, all
# different. Those of lam, c and h0 are complex.

KIND = "catch"
OF, FUNCTION, TAKES, MOST = "ex1", "scan", ("lam", "c", "u", "h0"), 16
RETURNS = {"inputs": TAKES}

MISTAKES = {  # inputs that expose less, or nothing
    "the poles and c are real": {"[[0.5 + 0.6j, 0.8j]]": "[[0.5, 0.8]]", "[[1 + 1j, 2 - 1j]]": "[[1.0, 2.0]]"},
    "there is no initial state": {"[[[1.0, -1j]], [[2j, 1.0]]]": "[[[0, 0]], [[0, 0]]]"},
    "one sequence, and no other that it could run into":
        {", [[3.0], [0.5], [1.0]]": "", ", [[2j, 1.0]]": ""},
    "one pole, so that a mean is a sum": {"return lam, c, u, h0\n": "return lam[:, :1], c[:, :1], u, h0[..., :1]\n"},
    "more numbers than are allowed": {"return lam, c, u, h0\n": "return lam, c, np.tile(u, 3), h0\n"},
    "a number is nan": {"2j, 1.0": "2j, np.nan"},
    "h0 is left out": {"return lam, c, u, h0\n": "return lam, c, u\n"},
    "the shapes don't fit together": {"return lam, c, u, h0\n": "return lam, c, u, h0[0]\n"},
}


def judge(function, arrays, P):
    """The shapes: NumPy would broadcast others, and they would cost less than 16 numbers."""
    lam, c, u, h0 = (a.shape for a in arrays)
    if len(lam) != 2 or len(u) != 3:
        return f"lam has the shape {lam} and u has {u}; expected 2 and 3 axes"
    B, D = (u[0] if P["axes"] == "BLD" else u[1]), lam[0]
    expected = {"c": (c, lam), "u": (u[2:], (D,)), "h0": (h0, (B, *lam))}
    return next((f"{name} does not fit the shapes of the others; the sheet lists its axes"
                 for name, (found, right) in expected.items() if found != right), "")

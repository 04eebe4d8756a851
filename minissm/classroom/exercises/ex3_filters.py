"""Exercise 3. Filters made to order.                                     points: 10   about 10 lines

The kernel of a filter is its response to a single 1 (tutorial 1). With N poles lam_n = exp(log_lam_n), it is here

    k_j = Re sum_n c_n lam_n^j          j = 0, 1, 2, ...     so k_0 = Re sum_n c_n             #? first=c pairs=one
    k_j = Re sum_n c_n lam_n^(j+1)      j = 0, 1, 2, ...     so k_0 = Re sum_n c_n lam_n       #? first=lam pairs=one
    k_j = 2 Re sum_n c_n lam_n^j        j = 0, 1, 2, ...     so k_0 = 2 Re sum_n c_n           #? first=c pairs=two
    k_j = 2 Re sum_n c_n lam_n^(j+1)    j = 0, 1, 2, ...     so k_0 = 2 Re sum_n c_n lam_n     #? first=lam pairs=two

An input is multiplied by lam once before the first output reads it.                           #? first=lam
The factor 2 stands for the conjugates of the poles, which are not given. It applies to real poles, too.  #? pairs=two
Example: the one pole lam = 0.5 with c = 1 has the kernel
    1, 0.5, 0.25, ...          #? first=c pairs=one
    0.5, 0.25, 0.125, ...      #? first=lam pairs=one
    2, 1, 0.5, ...             #? first=c pairs=two
    1, 0.5, 0.25, ...          #? first=lam pairs=two

Write three functions without arguments. Each returns log_lam and c, two arrays of shape (N,), real or complex, with at
most 3 poles. No pole may grow: |lam| <= 1. The numbers are those of your sheet.

    halving     k_0 = 1, each value is below the one before it, and half is left after <H> tokens: k_{j+<H>} = k_j / 2
    ringing     k_0 = 1, a cosine with a period of <T> tokens, which decays to the share <r> in each period:
                k_j = s^j cos(2 pi j / <T>) with s^<T> = <r>
    beginning   k_0 = <k0>, k_1 = <k1>, k_2 = <k2>. How the kernel goes on is up to you.

The grader computes k_0 to k_63, and checks these properties to 1e-9 of the largest value. Many answers are correct.
"""
import numpy as np


def halving():
    """-> log_lam, c"""
    #BEGIN
    H = float("<H>")
    return poles(np.array([2 ** (-1 / H)]), np.array([1]))


def poles(lam, c):
    """With these log_lam and c, the kernel is Re sum_n c_n lam_n^j."""
    c = c / lam  #? first=lam
    c = c / 2  #? pairs=two
    return np.log(lam), c
    #END


def ringing():
    """-> log_lam, c"""
    #BEGIN
    T, r = float("<T>"), float("<r>")
    return poles(np.array([r ** (1 / T) * np.exp(2j * np.pi / T)]), np.array([1]))
    #END


def beginning():
    """-> log_lam, c"""
    #BEGIN
    k = np.array([float(number) for number in "<k0> <k1> <k2>".split()])
    lam = np.array([0.9, 0.5, -0.6 + 0j])
    powers = lam ** np.arange(3)[:, None]
    c = np.linalg.solve(powers, k)
    return poles(lam, c)
    #END


#HINT 1 Write a function that computes k_0 to k_63 from log_lam and c as on your sheet, and look at your kernels. One
# pole is enough for the first two filters. Which power of lam belongs to k_0?
#HINT 2 After H tokens, a real pole has lam^H left. For one turn in T tokens, the angle of lam is a share of 2 pi. Its
# absolute value is what one token leaves; a period has T tokens. If k_0 is off by a factor, c corrects it.
#HINT 3 For the third filter, choose three different poles and write down k_0, k_1 and k_2: three linear equations for
# three c. Their matrix holds powers of the poles, one row for each j. np.linalg.solve does the rest.

KIND = "make"
CHOICES = {"first": {"c": "k_0 is the sum of c", "lam": "k_0 is the sum of c lam"},
           "pairs": {"one": "k is Re sum c lam^j", "two": "k is 2 Re sum c lam^j"}}
LIBRARY = [{"first": "c", "pairs": "one"}]
RETURNS = dict.fromkeys(("halving", "ringing", "beginning"), ("log_lam", "c"))
READ = {"halving": "tutorial 01, 'A leaky bucket'", "ringing": "tutorial 01, 'A damped spring'",
        "beginning": "tutorial 01, 'The kernel'", "log_lam": "tutorial 02, 'The bucket in continuous time'"}
HALF, TURN, THREE = "2 ** (-1 / H)", "r ** (1 / T) * np.exp(2j * np.pi / T)", "[0.9, 0.5, -0.6 + 0j]"

MISTAKES = {
    "halving: log 2 is missing, so that 1/e is left and not 1/2": {HALF: "np.exp(-1 / H)"},
    "halving: half is lost at every token": {HALF: "0.5"},
    "halving: the sign of log_lam is wrong, so that the kernel grows": {HALF: "2 ** (1 / H)"},
    "halving: the logarithm must have base e; with log10 too little is lost": {HALF: "np.exp(-np.log10(2) / H)"},
    "halving: equal losses that add up to half leave more: each is a share of what is left": {HALF: "1 - 1 / (2 * H)"},
    "halving: half is left one token too late: count the steps, not the values": {HALF: "2 ** (-1 / (H + 1))"},
    "ringing: 2 pi is missing in the angle of one turn": {TURN: "r ** (1 / T) * np.exp(1j / T)"},
    "ringing: half a turn in a period: the angle lacks the 2 of 2 pi": {TURN: "r ** (1 / T) * np.exp(1j * np.pi / T)"},
    "ringing: the share is left by every token, not by every period": {TURN: "r * np.exp(2j * np.pi / T)"},
    "ringing: nothing turns: the imaginary part of log_lam is missing": {TURN: "r ** (1 / T) + 0j"},
    "ringing: nothing decays: the real part of log_lam is missing": {TURN: "np.exp(2j * np.pi / T)"},
    "ringing: the share is not a rate: its logarithm is missing": {TURN: "np.exp((2j * np.pi - r) / T)"},
    "ringing: a sine: the angle of c is off by a quarter of a turn":
        {TURN + "]), np.array([1])": TURN + "]), np.array([-1j])"},
    "beginning: the matrix is transposed: each row belongs to one j, each column to one pole":
        {"solve(powers, k)": "solve(powers.T, k)"},
    "beginning: the three numbers are in the reverse order": {"solve(powers, k)": "solve(powers, k[::-1])"},
    "beginning: the numbers themselves are taken as c": {"np.linalg.solve(powers, k)": "k"},
    "beginning: two of the poles are equal, which leaves two unknowns for three numbers":
        {THREE: "[0.9, 0.5, 0.5 + 0j]", "np.linalg.solve(powers, k)": "np.linalg.pinv(powers) @ k"},
    "beginning: one pole grows": {THREE: "[1.1, 0.5, -0.6 + 0j]"},
    "lam is returned where log_lam is meant": {"return np.log(lam), c": "return lam, c"},
}


def numbers(rng):
    k = rng.permutation([-3, -2.5, -2, -1.5, -1, 1, 1.5, 2, 2.5, 3])[:3]
    return {"H": int(rng.choice([3, 5, 6, 7, 9, 10, 11, 13])), "T": int(rng.choice([5, 6, 7, 8, 9, 10, 11, 13])),
            "r": float(rng.choice([.4, .5, .6, .7, .8])), "k0": float(k[0]), "k1": float(k[1]), "k2": float(k[2])}


def cases(rng, P):
    for title, points in (("halving", 3), ("ringing", 4), ("beginning", 3)):
        yield f"the property of {title}", points, title, []


@np.errstate(all="ignore")
def kernel(arrays, P, begin=0):
    """k_j of this sheet, begin <= j < 64."""
    log_lam, c = (a.astype(complex)[:, None] for a in arrays)
    k = (c * np.exp(log_lam * (np.arange(begin, 64) + (P["first"] == "lam")))).sum(0).real
    return 2 * k if P["pairs"] == "two" else k


@np.errstate(all="ignore")
def judge(function, arrays, P):
    log_lam, c = arrays
    if log_lam.ndim != 1 or log_lam.shape != c.shape or log_lam.size > 3:
        return f"log_lam has shape {log_lam.shape} and c {c.shape}; expected one shape (N,), N at most 3"
    if log_lam.real.max() > 1e-12:
        return "a pole grows: the real part of log_lam is above 0"
    k = kernel(arrays, P)
    same = lambda found, asked: np.abs(found - asked).max() <= 1e-9 * np.abs(asked).max()  # never of what is found
    if function == "beginning":
        asked = np.array([P["k0"], P["k1"], P["k2"]])
        place = {"k_1": k[1:4], "k_{-1}": kernel(arrays, P, -1)[:3]}
        shifted = [f"; the three numbers begin at {name}" for name, found in place.items() if same(found, asked)]
        return "" if same(k[:3], asked) else "the kernel does not begin with the three numbers" + "".join(shifted)
    if not same(k[0], 1):
        return "k_0 is not 1"
    if function == "halving":
        if not (k[1:] < k[:-1]).all():
            return "the kernel does not fall at every token"
        return "" if same(k[P["H"]:], k[:-P["H"]] / 2) else f"what is left after {P['H']} tokens is not half"
    size, wave = P["r"] ** (np.arange(64) / P["T"]), np.cos(2 * np.pi * np.arange(64) / P["T"])
    if same(k, size * wave):
        return ""
    return "the kernel does not oscillate: no value is below 0" if k.min() >= 0 else "the kernel is not that cosine"


def view(function, arrays, P):
    """What a diagnosis compares: the kernel, and whether a pole grows. Of beginning, what it asks alone."""
    if len({a.shape for a in arrays}) > 1 or arrays[0].ndim != 1 or not 0 < arrays[0].size <= 3:
        return arrays
    k = kernel(arrays, P)
    return [k[:3] if function == "beginning" else k, np.array(arrays[0].real.max() > 1e-12, float)]

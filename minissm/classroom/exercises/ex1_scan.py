"""Exercise 1. The recurrence.                                            points: 10   about 8 lines

The leaky buckets and springs of tutorial 1: B sequences, D channels, and N poles in each channel.

    h_t = lam h_{t-1} + u_t        y_t = Re sum_n c_n h_{t,n}                                  #? output=after
    y_t = Re sum_n c_n h_{t-1,n}   h_t = lam h_{t-1} + u_t                                     #? output=before

The output comes first: y_t reads the state before u_t enters.                                 #? output=before
Time runs backwards: the last entry of u comes first, and "t - 1" is one place to the right.   #? time=backward

    lam, c       (D, N)     complex   the poles, and the weights that read the states
    u, y         (B, L, D)  real      inputs and outputs; L >= 1                               #? axes=BLD
    u, y         (L, B, D)  real      inputs and outputs, time first; L >= 1                   #? axes=LBD
    h0, h_last   (B, D, N)  complex   the state before the first step (None: zeros), and after the last step

Each sequence and each channel runs on its own. The dtypes of y and h_last follow u: float64 and complex128 for
float64, float32 and complex64 for float32. Don't write to the inputs.

Example: lam = 0.5i, c = 1 - i, u = 1, 2, 3 and no h0. Then (1 - i)(a + bi) has the real part a + b.
    h = 1, 2 + 0.5i, 2.75 + i      y = 1, 2.5, 3.75      h_last = 2.75 + i      #? output=after time=forward
    h = 1, 2 + 0.5i, 2.75 + i      y = 0, 1, 2.5         h_last = 2.75 + i      #? output=before time=forward
    h = 0.25 + i, 2 + 1.5i, 3      y = 1.25, 3.5, 3      h_last = 0.25 + i      #? output=after time=backward
    h = 0.25 + i, 2 + 1.5i, 3      y = 3.5, 3, 0         h_last = 0.25 + i      #? output=before time=backward
Here h and y are listed in the order of u: the value that is computed first comes last.        #? time=backward
"""
import numpy as np


def scan(lam, c, u, h0=None):
    """-> y, h_last"""
    #BEGIN
    u = np.moveaxis(u, 1, 0)  #? axes=BLD
    dtype = np.complex64 if u.dtype == np.float32 else np.complex128
    lam, c = lam.astype(dtype), c.astype(dtype)
    h = np.zeros((u.shape[1], *lam.shape), dtype) if h0 is None else h0.astype(dtype)
    y = np.zeros(u.shape, u.dtype)
    steps = range(u.shape[0])
    steps = steps[::-1]  #? time=backward
    for t in steps:
        y[t] = (c * h).sum(-1).real  #? output=before
        h = lam * h + u[t][..., None]
        y[t] = (c * h).sum(-1).real  #? output=after
    y = np.moveaxis(y, 0, 1)  #? axes=BLD
    return y, h
    #END


#HINT 1 Write it for one sequence, one channel and one pole first: a loop over Python numbers. Try the example. Then add
# the axes.
#HINT 2 Give h the shape (B, D, N). The input of one step has the shape (B, D); with [..., None] it broadcasts against
# h. lam and c do so as they are.
#HINT 3 The loop needs two statements, one for h and one for a row of y. The sheet says which comes first, and in which
# order the rows are visited. Create y and h with their dtypes before the loop. Sum c h over the last axis, then take
# .real.

KIND = "write"
CHOICES = {"output": {"after": "the output comes after the update", "before": "the output comes before the update"},
           "time": {"forward": "time runs forwards", "backward": "time runs backwards"},
           "axes": {"BLD": "the axes are (B, L, D)", "LBD": "the axes are (L, B, D)"}}
LIBRARY = [{"output": "after", "time": "forward", "axes": "BLD"}]
RETURNS = {"scan": ("y", "h_last")}
READ = {"precision": "", "h0": "tutorial 03, 'In pieces'", "last state": "tutorial 03, 'In pieces'",
        "sequence": "tutorial 01, 'Several poles, several channels'",
        "not the sum": "tutorial 01, 'Several poles, several channels'",
        "real": "tutorial 01, 'A damped spring'", "": "tutorial 01, 'A leaky bucket'"}

MISTAKES = {
    "h0 is not used": {"else h0.astype(dtype)": "else 0 * h0.astype(dtype)"},
    "h0 is counted twice": {"else h0.astype(dtype)": "else 2 * h0.astype(dtype)"},
    "the poles are taken as real: the imaginary part of lam is lost":
        {"lam.astype(dtype), c": "lam.real.astype(dtype), c"},
    "c is conjugated, as np.vdot does; the sum is c h": {"(c * h)": "(c.conj() * h)"},
    "the real part is taken too early: Re c Re h is not Re (c h)": {"(c * h)": "(c.real * h.real)"},
    "the absolute value is taken in place of the real part": {"(c * h).sum(-1).real": "abs((c * h).sum(-1))"},
    "the mean over the poles is taken, not the sum": {".sum(-1).real": ".mean(-1).real"},
    "u_t is multiplied by lam, too; it must enter after the decay":
        {"lam * h + u[t][..., None]": "lam * (h + u[t][..., None])"},
    "the last state returned is the one before the last step":
        {"h = lam * h + u[t]": "last, h = h, lam * h + u[t]", "return y, h\n": "return y, last\n"},
    "the loop ends one step early": {"for t in steps:": "for t in steps[:-1]:"},
    "a sequence begins with the last state of the sequence before it": {
        "for t in steps:": "for b, t in ((b, t) for b in range(u.shape[1]) for t in steps):\n"
                           "        h[b] = h[b - 1] if b and t == steps[0] else h[b]",
        "y[t] = (c * h)": "y[t, b] = (c * h[b])",
        "h = lam * h + u[t][..., None]": "h[b] = lam * h[b] + u[t, b][..., None]"},
    "the axes of batch and time are reshaped, which mixes the sequences; they must be transposed": {
        "u = np.moveaxis(u, 1, 0)": "u = u.reshape(u.shape[1], u.shape[0], -1)",
        "y = np.moveaxis(y, 0, 1)": "y = y.reshape(y.shape[1], y.shape[0], -1)"},
    "single precision is lost: float32 must stay float32":
        {"np.complex64 if u.dtype == np.float32 else ": "", "u.dtype)\n": "float)\n"},
}


def cases(rng, P):
    def draw(B, L, D, N, h0=True, real=False, single=False):
        i = 0 if real else 1j
        z = lambda *shape: rng.normal(size=shape) + i * rng.normal(size=shape) + 0j
        lam = np.exp(-rng.uniform(.05, .5, (D, N)) + i * rng.uniform(.3, 2.5, (D, N))) + 0j
        u = rng.normal(size=(B, L, D) if P["axes"] == "BLD" else (L, B, D))
        arrays = [lam, z(D, N), u, z(B, D, N) if h0 else None]
        return [a.astype("F" if np.iscomplexobj(a) else "f") for a in arrays] if single else arrays
    yield "one real pole", 1, "scan", draw(1, 7, 1, 1, h0=False, real=True)
    yield "complex poles, two channels", 2, "scan", draw(1, 9, 2, 3, h0=False)
    yield "a batch of three", 1, "scan", draw(3, 6, 2, 2, h0=False)
    yield "an initial state", 2, "scan", draw(2, 5, 3, 2)
    yield "a single input", 1, "scan", draw(2, 1, 2, 3)
    yield "single precision", 1, "scan", draw(2, 8, 2, 2, single=True)
    yield "300 inputs, within the time limit", 2, "scan", draw(4, 300, 8, 8)

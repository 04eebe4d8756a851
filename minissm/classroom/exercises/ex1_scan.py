"""Exercise 1. The recurrence.                                            points: 10   about 8 lines

    h_t = lam h_{t-1} + u_t        y_t = Re sum_n c_n h_{t,n}                                  #? output=after
    y_t = Re sum_n c_n h_{t-1,n}   h_t = lam h_{t-1} + u_t     (the output comes first)        #? output=before

The time runs from the last input to the first: "t - 1" is the place one to the right.         #? time=backward
lam, c (D, N) complex;  u, y (B, L, D) real;  h0, h_last (B, D, N) complex;  L >= 1.           #? axes=BLD
lam, c (D, N) complex;  u, y (L, B, D) real;  h0, h_last (B, D, N) complex;  L >= 1.           #? axes=LBD
h0 is the state before the first step, None for zeros; h_last is the state after the last one. The dtypes of y and
h_last follow u (float64 -> complex128, float32 -> complex64). The inputs are not written to.
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


#HINT 1 Write it for one sequence, one channel and one mode first: two Python numbers and a loop. Then add the axes.
#HINT 2 h has shape (B, D, N). u at one time has shape (B, D): u[..., None] makes it fit.
#HINT 3 In the loop two statements are enough: one for y, one for h. Which comes first is what the sheet says.

KIND = "write"
LIBRARY = [{"output": "after", "time": "forward", "axes": "BLD"}]
READ = {"": "tutorial 01"}
CHOICES = {"output": {"after": "the output comes after the update", "before": "the output comes before the update"},
           "time": {"forward": "time runs forwards", "backward": "time runs backwards"},
           "axes": {"BLD": "the axes are (B, L, D)", "LBD": "the axes are (L, B, D)"}}
RETURNS = {"scan": ("y", "h_last")}

MISTAKES = {
    "h0 is not used": {"else h0.astype(dtype)": "else 0 * h0.astype(dtype)"},
    "h0 is counted twice": {"h = lam * h + u[t]": "h = lam * (h + (h0 if h0 is not None and t == list(steps)[0] else 0)) + u[t]"},
    "the poles are taken as real: the imaginary part of lam is lost": {"lam, c = lam.astype(dtype)": "lam, c = lam.real.astype(dtype)"},
    "c is conjugated (np.vdot does that): sum c h, not conj(c) h": {"(c * h)": "(c.conj() * h)"},
    "the real part is taken too early: Re(c) Re(h) is not Re(c h)": {"(c * h).sum(-1).real": "(c.real * h.real).sum(-1)"},
    "absolute value where the real part is meant": {".sum(-1).real": ".sum(-1).__abs__()"},
    "the last state belongs to the input before the last": {"return y, h\n": "return y, (h - u[steps[-1]][..., None]) / lam\n"},
    "the state of one sequence runs into the next: h needs an axis for the batch":
        {"h = lam * h + u[t][..., None]": "h = lam * h + u[t][..., None] + 0 * h; h[1:] += h[:-1] * 1e-3"},
    "the input is multiplied by lam too: u_t enters after the decay": {"lam * h + u[t][..., None]": "lam * (h + u[t][..., None])"},
    "the mean over the modes is taken, not the sum": {".sum(-1).real": ".mean(-1).real"},
}


def cases(rng, P):
    def draw(B, L, D, N, h0=True, real=False, kind="f8", scale=1.0):
        lam = np.exp(-rng.uniform(.05, .5, (D, N)) + (0 if real else 1j) * rng.uniform(.3, 2.5, (D, N)))
        c = rng.normal(size=(D, N)) + (0 if real else 1j) * rng.normal(size=(D, N))
        u = rng.normal(size=(B, L, D)).astype(kind) * np.asarray(scale, kind)
        u = u if P["axes"] == "BLD" else np.moveaxis(u, 1, 0)
        h = rng.normal(size=(B, D, N)) + (0 if real else 1j) * rng.normal(size=(B, D, N)) if h0 else None
        big = "c8" if kind == "f4" else "c16"
        return [(lam + 0j).astype(big), (c + 0j).astype(big), u, None if h is None else (h + 0j).astype(big)]
    yield "one real pole, no initial state", 1, "scan", draw(1, 7, 1, 1, h0=False, real=True)
    yield "several complex poles", 2, "scan", draw(1, 9, 2, 3, h0=False)
    yield "a batch of three", 1, "scan", draw(3, 6, 2, 2, h0=False)
    yield "an initial state", 2, "scan", draw(2, 5, 3, 2)
    yield "a single input", 1, "scan", draw(2, 1, 2, 3)
    yield "float32 stays float32", 1, "scan", draw(2, 8, 2, 2, kind="f4")
    yield "300 inputs, within the time", 2, "scan", draw(4, 300, 8, 8)

"""Exercise 6. The gradient of the recurrence.                             points: 20   about 15 lines

Each channel runs the recurrence on its own. A loss, one real number, depends on the outputs y and the last state h_L:

    h_t = lam h_{t-1} + u_t        y_t = Re sum_n c_n h_{t,n}                     t = 1, ..., L  #? output=after
    y_t = Re sum_n c_n h_{t-1,n}   h_t = lam h_{t-1} + u_t  (the output first)    t = 1, ..., L  #? output=before

You get the gradients of the loss with respect to y and h_L, and return those with respect to lam, c, u and h_0:

    lam, c (D, N) complex      u, dy (B, L, D) real      h0, dh_last (B, D, N) complex           #? axes=BLD
    lam, c (D, N) complex      u, dy (L, B, D) real      h0, dh_last (B, D, N) complex           #? axes=LBD
    dlam, dc, du, dh0 have the shapes and dtypes of lam, c, u, h0, in double or in single precision. L may be 1.

The gradient with respect to a complex z is one complex number; so is dh_last. A small change e of z shows its meaning:

    dz = d loss / d Re z + i d loss / d Im z            the loss changes by Re(conj(dz) e)       #? gradient=sum
    dz = (d loss / d Re z + i d loss / d Im z) / 2      the loss changes by 2 Re(conj(dz) e)     #? gradient=half

Example with B = D = N = 1:  lam = i/2, c = 1 + 2i, h0 = 0, dh_last = 0.
    u = (1, 0), dy = (0, 1): the loss is y_2 = Re(c (lam^2 h0 + lam u_1 + u_2)).              #? output=after
    u = (1, 0, 0), dy = (0, 0, 1): the loss is y_3 = Re(c (lam^2 h0 + lam u_1 + u_2)).        #? output=before
    dlam = 1 - 2i    dc = -i/2    du = (-1, 1)     dh0 = -1/4 + i/2                              #? output=after gradient=sum
    dlam = 1/2 - i   dc = -i/4    du = (-1, 1)     dh0 = -1/8 + i/4                              #? output=after gradient=half
    dlam = 1 - 2i    dc = -i/2    du = (-1, 1, 0)  dh0 = -1/4 + i/2                              #? output=before gradient=sum
    dlam = 1/2 - i   dc = -i/4    du = (-1, 1, 0)  dh0 = -1/8 + i/4                              #? output=before gradient=half

One pass forwards and one backwards are enough: the time grows with L, not with L^2. Don't write to the inputs.
Tutorial 04 derives the gradients of one channel, in its own convention. The public tests compare numbers for one
sequence alone, with h0 = 0 and dh_last = 0. Test other cases yourself, with `slopes` of test_public.py.
"""
import numpy as np


def scan_backward(lam, c, u, h0, dy, dh_last):
    """-> dlam, dc, du, dh0"""
    #BEGIN
    u, dy = np.moveaxis(u, 1, 0), np.moveaxis(dy, 1, 0)  #? axes=BLD
    states = [h0]
    for u_t in u:
        states.append(lam * states[-1] + u_t[..., None])
    dlam, dc, du = np.zeros_like(lam), np.zeros_like(c), np.zeros_like(u)
    dh = dh_last  #? gradient=sum
    dh = 2 * dh_last  #? gradient=half
    for t in reversed(range(len(u))):
        earlier, later, dy_t = states[t], states[t + 1], dy[t][..., None]
        dc += (dy_t * np.conj(later)).sum(0)  #? output=after
        dh = dh + dy_t * np.conj(c)  #? output=after
        du[t] = dh.sum(-1).real
        dlam += (dh * np.conj(earlier)).sum(0)
        dh = dh * np.conj(lam)
        dc += (np.conj(earlier) * dy_t).sum(0)  #? output=before
        dh = dh + np.conj(c) * dy_t  #? output=before
    du = np.moveaxis(du, 0, 1)  #? axes=BLD
    return dlam, dc, du, dh  #? gradient=sum
    return dlam / 2, dc / 2, du, dh / 2  #? gradient=half
    #END


#HINT 1 Run the recurrence forwards once, and keep all L + 1 states. Then go back from the last time with dh, the
# gradient with respect to the state, which begins as dh_last. Write it for B = D = N = 1 first: six Python
# numbers and two loops.
#HINT 2 Ask of each input: where is it used? Where the forward pass multiplies by z, the backward pass multiplies by
# conj(z). Where the forward pass uses one number many times (lam and c for all times and sequences, u_t for all poles),
# the backward pass sums.
#HINT 3 Each backward step takes the two statements of a forward step in reverse order. y_t = Re c h gives dy_t conj(h)
# to dc and dy_t conj(c) to dh. h_t = lam h_{t-1} + u_t gives Re dh to du_t, dh conj(h_{t-1}) to dlam, and dh conj(lam)
# to the state before, which is the next dh. None of this has the factor 1/2. If your sheet has it, so does dh_last.

KIND = "write"
CHOICES = {"output": {"after": "the output comes after the update", "before": "the output comes before the update"},
           "gradient": {"sum": "dz is d loss / d Re z + i d loss / d Im z", "half": "dz has the factor 1/2"},
           "axes": {"BLD": "the axes are (B, L, D)", "LBD": "the axes are (L, B, D)"}}
LIBRARY = [{"output": "after", "gradient": "sum", "axes": "BLD"}]
RETURNS = {"scan_backward": ("dlam", "dc", "du", "dh0")}

MISTAKES = {
    "the conjugate of lam is missing in the backward pass": {"dh = dh * np.conj(lam)": "dh = dh * lam"},
    "the conjugate of the state is missing in the gradient of lam": {"dh * np.conj(earlier)": "dh * earlier"},
    "the conjugate of c is missing in the gradient of the state":
        {"dy_t * np.conj(c)": "dy_t * c", "np.conj(c) * dy_t": "c * dy_t"},
    "the conjugate of the state is missing in the gradient of c":
        {"dy_t * np.conj(later)": "dy_t * later", "np.conj(earlier) * dy_t": "earlier * dy_t"},
    "no conjugate anywhere: this is correct for real poles only": {"np.conj": ""},
    "dh_last, the gradient that comes in through the last state, is dropped":
        {"dh = dh_last": "dh = 0 * dh_last", "dh = 2 * dh_last": "dh = 0 * dh_last"},
    "the gradient of the state is not carried back: a state also acts through the next one":
        {"dh = dh + dy_t": "dh = dy_t", "dh = dh + np.conj(c)": "dh = np.conj(c)"},
    "the gradient of lam uses the state after the step, not the one before it":
        {"dh * np.conj(earlier)": "dh * np.conj(later)"},
    "the gradient of c uses the wrong state: look at which state the output reads":
        {"dy_t * np.conj(later)": "dy_t * np.conj(earlier)", "np.conj(earlier) * dy_t": "np.conj(later) * dy_t"},
    "only the first sequence of the batch counts: sum over the batch": {".sum(0)": "[0]"},
    "the mean over the batch is taken, not the sum": {".sum(0)": ".mean(0)"},
    "du is the mean over the poles, not the sum": {"dh.sum(-1)": "dh.mean(-1)"},
    "the backward pass stops one step early": {"range(len(u))": "range(1, len(u))"},
    "dh0 is the gradient of the state after the first step: one step back is missing":
        {"dh = dh * np.conj(lam)": "first, dh = dh, dh * np.conj(lam)", "dc, du, dh\n": "dc, du, first\n",
         "du, dh / 2": "du, first / 2"},
    "the initial state is left out of the forward pass": {"states = [h0]": "states = [0 * h0]"},
    "dlam has a factor conj(lam): this is the gradient of log lam": {"return dlam": "return np.conj(lam) * dlam"},
    "du is halved, too: a real number has a gradient without the half": {"dc / 2, du,": "dc / 2, du / 2,"},
    "dh_last is half of the derivatives, too: it counts twice in the backward pass":
        {"dh = 2 * dh_last": "dh = dh_last"},
}
READ = {"conjugate": "tutorial 04, 'The conjugate'", "half": "tutorial 04, 'The conjugate'",
        "batch": "tutorial 04, 'A linear layer'", "dh_last": "tutorial 04, 'The filter, backward in time'",
        "": "tutorial 04, 'The recurrence'"}


def cases(rng, P):
    def draw(B, L, D, N, h0=True, last=True, i=1j, kind=np.complex128):
        z = lambda *s: (rng.normal(size=s) + i * rng.normal(size=s)).astype(kind)
        lam = np.exp(-rng.uniform(.05, .5, (D, N)) + i * rng.uniform(.3, 2.5, (D, N))).astype(kind)
        c, h, dh, u, dy = z(D, N), h0 * z(B, D, N), last * z(B, D, N), *(z(B, L, D).real for _ in range(2))
        u, dy = (np.ascontiguousarray(a if P["axes"] == "BLD" else np.moveaxis(a, 1, 0)) for a in (u, dy))
        return [lam, c, u, h, dy, dh]
    yield "one real pole", 2, "scan_backward", draw(1, 6, 1, 1, False, False, i=0)
    yield "complex poles", 5, "scan_backward", draw(1, 7, 2, 3, False, False)
    yield "a batch of three", 3, "scan_backward", draw(3, 5, 2, 2, False, False)
    yield "an initial state", 3, "scan_backward", draw(2, 5, 3, 2, True, False)
    yield "a loss that depends on the last state", 3, "scan_backward", draw(2, 4, 2, 3)
    yield "a single input", 1, "scan_backward", draw(2, 1, 2, 3)
    yield "single precision stays single", 1, "scan_backward", draw(2, 6, 2, 2, kind=np.complex64)
    yield "256 inputs: time for one backward pass, not for finite differences", 2, "scan_backward", draw(8, 256, 8, 8)

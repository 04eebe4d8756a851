"""Exercise 9. Repair the selective scan.                                  points: 20   find and fix two mistakes

    dt_t = softplus(raw_t),   softplus(x) = log(1 + exp(x)),   A = -exp(log_a)
    h_t = exp(dt_t A) h_{t-1} + dt_t b_t u_t                                                   #? hold=euler
    h_t = exp(dt_t A) h_{t-1} + g_t b_t u_t,   g_t = (exp(dt_t A) - 1) / A  (zero-order hold)  #? hold=exact
    y_t = sum_n c_{t,n} h_{t,n} + skip u_t                                                     #? output=after
    y_t = sum_n c_{t,n} h_{t-1,n} + skip u_t      (the output comes before the update)         #? output=before

These equations are correct. The code below has two mistakes: for some inputs of these shapes, it doesn't follow the
equations. Fix both, and change nothing else. A check that this code already passes gives no points.

u, raw, y (B, L, E): each channel has its own step dt_t.  log_a (E, N): each of its N states decays at its own rate.
b, c (B, L, N): all channels share them.  skip (E,).  h0, h_last (B, E, N): a state of its own for each channel of each
sequence; h0 is the state before the first token (None: zeros). All are real, float64 or float32; the results have the
dtype of u. Don't write to the inputs. Entries of raw may be 1000 or -1000, and must not give nan.
"""
import numpy as np


def selective_scan(u, raw, log_a, b, c, skip, h0=None):
    """-> y, h_last"""
    #BEGIN
    B, L, E = u.shape
    A = -np.exp(log_a)
    dt = np.maximum(raw, 0) + np.log1p(np.exp(-np.abs(raw)))
    y, h_last = np.zeros_like(u), np.zeros((B, *A.shape), u.dtype)
    for i in range(B):
        h = np.zeros_like(A) if h0 is None else h0[i]
        for t in range(L):
            step = dt[i, t, :, None]
            write, read = b[i, t], c[i, t]
            gain = step  #? hold=euler
            gain = np.expm1(step * A) / A  #? hold=exact
            y[i, t] = (read * h).sum(-1)  #? output=before
            h = np.exp(step * A) * h + gain * write * u[i, t, :, None]
            y[i, t] = (read * h).sum(-1)  #? output=after
        h_last[i] = h
    return y + skip * u, h_last
    #END


#HINT 1 Take the equations one at a time and find the line of each. Then ask of each array: which axes does it have, and
# which index belongs to which axis?
#HINT 2 The public tests don't see everything. Test one by one what the docstring promises: several sequences,
# several channels, an initial state, inputs of any size. For each, compare with a case that you can compute by hand.
#HINT 3 Write the same function once more, as slowly as you like: four loops (i, t, channel, state) and Python numbers.
# Compare both on random inputs with B, L, E and N at least 2, then switch parts off: b = 1, c = 1, skip = 0, one token.

KIND = "repair"
PLANTED = 2
CHOICES = {"output": {"after": "the output comes after the update", "before": "the output comes before the update"},
           "hold": {"euler": "the input enters with the factor dt", "exact": "the input enters by the zero-order hold"}}
LIBRARY = [{"output": "after", "hold": "euler"}]
RETURNS = {"selective_scan": ("y", "h_last")}

MISTAKES = {
    "softplus by its formula: exp overflows where raw is large, and 1 + exp is 1 where raw is far below 0":
        {"np.maximum(raw, 0) + np.log1p(np.exp(-np.abs(raw)))": "np.log(1 + np.exp(raw))"},
    "A lacks its minus sign, so that the state grows": {"A = -np.exp(log_a)": "A = np.exp(log_a)"},
    "the step of the first channel is used for all channels": {"dt[i, t, :, None]": "dt[i, t, :1, None]"},
    "b is taken from the previous token": {"b[i, t]": "b[i, t - 1]"},
    "b and c are swapped: b writes, c reads": {"write, read =": "read, write ="},
    "the state of one sequence runs into the next; each must begin with zeros":
        {"h = np.zeros_like(A) if": "h = h_last[i - 1] if"},
    "every sequence begins with the initial state of the first": {"else h0[i]": "else h0[0]"},
    "the step is missing in the decay: it scales only the input": {"h = np.exp(step * A) * h": "h = np.exp(A) * h"},
    "the mean over the states is taken, not the sum": {"(read * h).sum(-1)": "(read * h).mean(-1)"},
    "the skip path adds the input without the factor skip": {"return y + skip * u": "return y + u"},
}
READ = {"softplus": "tutorial 08, 'A step for each token'", "step": "tutorial 08, 'A step for each token'",
        "": "tutorial 08, 'Where to write, where to read'"}


def cases(rng, P):
    def draw(B, L, E, N, h0=True, kind="f8"):
        z = lambda *shape: rng.normal(size=shape).astype(kind)
        log_a = rng.uniform(-2, .5, (E, N)).astype(kind)
        return [z(B, L, E), z(B, L, E), log_a, z(B, L, N), z(B, L, N), z(E), z(B, E, N) if h0 else None]
    yield "one token", 1, "selective_scan", draw(1, 1, 1, 1, h0=False)
    yield "one sequence", 1, "selective_scan", draw(1, 6, 1, 2, h0=False)
    plain = draw(1, 7, 2, 3, h0=False)
    for i in (1, 3, 4):
        plain[i][:] = plain[i][:1, :1]
    yield "dt, b and c constant: a plain scan", 1, "selective_scan", plain
    ignored = draw(1, 5, 2, 3)
    ignored[1][:, 1:4] = -60
    yield "tokens with dt near 0 are ignored", 1, "selective_scan", ignored
    yield "a batch of three", 1, "selective_scan", draw(3, 4, 2, 3, h0=False)
    yield "a batch with initial states", 1, "selective_scan", draw(3, 4, 2, 3)
    yield "all at once", 3, "selective_scan", draw(2, 7, 3, 4)
    large = draw(3, 6, 4, 2)
    large[1][:, ::2] *= 400
    yield "all at once, large steps", 3, "selective_scan", large
    small = draw(3, 6, 4, 2, h0=False)
    small[1] -= 30
    yield "all at once, steps near 0", 4, "selective_scan", small
    yield "all at once, float32", 2, "selective_scan", draw(2, 5, 3, 2, h0=False, kind="f4")
    yield "all at once, 100 tokens", 2, "selective_scan", draw(2, 100, 4, 3, h0=False)

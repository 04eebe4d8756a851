"""Exercise 4. One long convolution.                                      points: 10   about 10 lines

A filter is a sum over the past with the weights k, its kernel (tutorial 1). The FFT computes all outputs at once
(tutorial 3). There are B sequences and D channels, N poles in each channel, and a skip: the direct path of an input.

    k_j = Re sum_n c_n lam_n^j,   0 <= j < L        all poles are given                        #? poles=all
    k_j = 2 Re sum_n c_n lam_n^j, 0 <= j < L        one pole of each conjugate pair is given   #? poles=half
    y_t = sum_{j >= 0} k_j u_{t-j} + skip u_t       inputs before the first count as 0         #? time=forward
    y_t = sum_{j >= 0} k_j u_{t+j} + skip u_t       inputs after the last count as 0           #? time=backward

An output depends on the present input and on later ones, as a gradient does (tutorial 4).     #? time=backward

    lam, c   (D, N)     complex
    skip     (D,)       real
    L        integer    >= 1
    u, y     (B, L, D)  real                                                                   #? axes=LD
    k        (K, D)     real: K is the L of kernel. fft_conv takes any K                       #? axes=LD
    u, y     (B, D, L)  real: time comes last                                                  #? axes=DL
    k        (D, K)     real: K is the L of kernel. fft_conv takes any K                       #? axes=DL

The kernel may be shorter than the input, or longer. k has the dtype of lam.real, and y the dtype of u: single precision
stays single. One hidden case of fft_conv has 300,000 inputs, too many for a double sum: it needs np.fft.rfft and
np.fft.irfft. Don't write to the inputs.

Example: lam = 0.5i, c = 1 - i, L = 3, skip = 3, and u = 1, 2, 3, 0. The filter is that of the example of exercise 1.
    k = 1, 0.5, -0.25      y = 4, 8.5, 12.75, 1      #? poles=all time=forward
    k = 2, 1, -0.5         y = 5, 11, 16.5, 2        #? poles=half time=forward
    k = 1, 0.5, -0.25      y = 4.25, 9.5, 12, 0      #? poles=all time=backward
    k = 2, 1, -0.5         y = 5.5, 13, 15, 0        #? poles=half time=backward
"""
import numpy as np


def kernel(lam, c, L):
    """-> k"""
    #BEGIN
    powers = lam[..., None] ** np.arange(L)
    k = (c[..., None] * powers).sum(1).real
    k = 2 * k  #? poles=half
    k = k.T  #? axes=LD
    return k.astype(lam.real.dtype)
    #END


def fft_conv(u, k, skip):
    """-> y"""
    #BEGIN
    x = u
    k, x = k.T, np.moveaxis(x, 1, 2)  #? axes=LD
    x = x[..., ::-1]  #? time=backward
    L, K = x.shape[2], k.shape[1]
    n = L + K - 1
    y = np.fft.irfft(np.fft.rfft(x, n) * np.fft.rfft(k, n), n)[..., :L]
    y = y + skip[:, None] * x
    y = y[..., ::-1]  #? time=backward
    y = np.moveaxis(y, 2, 1)  #? axes=LD
    return y.astype(u.dtype)
    #END


#HINT 1 Write both as plain loops first, for one channel. They are slow, and they are what you compare the fast versions
# with. Try the example.
#HINT 2 lam[..., None] ** np.arange(L) has the shape (D, N, L). For the convolution, take u and k as the coefficients of
# two polynomials: how many does their product have, and how many points are enough?
#HINT 3 Append zeros until nothing can wrap around: np.fft.rfft(a, n) does so, for n = L + K - 1 points or more.
# Multiply the two transforms, go back with np.fft.irfft(..., n) with the same n, and keep the first L outputs. If your
# filter runs backwards, run it forwards on the reversed input, and reverse its output.

KIND = "write"
CHOICES = {"poles": {"all": "all poles are given: Re", "half": "one pole of each conjugate pair is given: 2 Re"},
           "time": {"forward": "time runs forwards", "backward": "time runs backwards"},
           "axes": {"DL": "k is (D, K) and u (B, D, L)", "LD": "k is (K, D) and u (B, L, D)"}}
LIBRARY = [{"poles": "all", "axes": "DL"}]  # its kernel; none of its convolutions has a skip
RETURNS = {"kernel": ("k",), "fft_conv": ("y",)}
READ = {"precision": "", "kernel:": "tutorial 01, 'The kernel'",
        "skip": "tutorial 05, 'A network that copies, wire by wire'",
        "": "tutorial 03, 'fft: a product of polynomials'"}
SUM, BACK = "(c[..., None] * powers).sum(1).real", "n)[..., :L]"

MISTAKES = {
    "kernel: the powers of lam begin with 1, so that k_0 is c lam": {"np.arange(L)": "np.arange(1, L + 1)"},
    "kernel: the real part is taken too early: Re c Re lam^j is not Re (c lam^j)":
        {SUM: "(c.real[..., None] * powers.real).sum(1)"},
    "kernel: the absolute value is taken in place of the real part": {SUM: "abs((c[..., None] * powers).sum(1))"},
    "kernel: the poles are taken as real: the imaginary part of lam is lost":
        {"lam[..., None] **": "lam.real[..., None] **"},
    "kernel: the mean over the poles is taken, not the sum": {".sum(1)": ".mean(1)"},
    "kernel: c is conjugated, as np.vdot does; the sum is c lam^j": {"(c[..., None]": "(c.conj()[..., None]"},
    "kernel: single precision is lost: complex64 makes float32": {"k.astype(lam.real.dtype)": "k.astype(float)"},
    "fft_conv: the skip is forgotten": {"y + skip[:, None] * x": "y"},
    "fft_conv: the skip is counted twice": {"y + skip[:, None]": "y + 2 * skip[:, None]"},
    "fft_conv: the skip of the first channel is used in all": {"y + skip[:, None]": "y + skip[0]"},
    "fft_conv: the kernel of the first channel is used in all": {"np.fft.rfft(k, n)": "np.fft.rfft(k[:1], n)"},
    "fft_conv: L points are too few: what runs past the end comes back in at the beginning":
        {"n = L + K - 1": "n = L"},
    "fft_conv: 2 L points are too few where the kernel is longer than the input": {"n = L + K - 1": "n = 2 * L"},
    "fft_conv: irfft without n takes an odd number of points for an even one": {BACK: "axis=-1)[..., :L]"},
    "fft_conv: the kernel is reversed; the product of polynomials does that by itself":
        {"np.fft.rfft(k, n)": "np.fft.rfft(k[:, ::-1], n)"},
    "fft_conv: k_0 misses the present input: the outputs are shifted by one token":
        {BACK: "n)[..., :L]\n    y = np.roll(y, 1, -1) * (np.arange(L) > 0)"},
    "fft_conv: the middle of the long result is kept, not its beginning": {BACK: "n)[..., (K - 1) // 2:][..., :L]"},
    "fft_conv: single precision is lost: y has the dtype of u": {"y.astype(u.dtype)": "y.astype(float)"},
}


def cases(rng, P):
    real, z = lambda *s: rng.normal(size=s), lambda *s: rng.normal(size=s) + 1j * rng.normal(size=s)

    def of_kernel(D, N, L, turn=1j):
        lam = np.exp(-rng.uniform(.05, .5, (D, N)) + turn * rng.uniform(.3, 2.5, (D, N))) + 0j
        return [lam, z(D, N), np.int64(L)]

    def of_conv(B, L, D, K):
        u, k = real(B, L, D), real(K, D)
        return [u, k, real(D) + 2] if P["axes"] == "LD" else [np.moveaxis(u, 1, 2).copy(), k.T.copy(), real(D) + 2]

    def single(arrays):
        return [a.astype({"c": "F", "f": "f"}.get(a.dtype.kind, a.dtype)) for a in arrays]

    yield "kernel: one real pole", 1, "kernel", of_kernel(1, 1, 6, turn=0)
    yield "kernel: complex poles, two channels", 2, "kernel", of_kernel(2, 3, 9)
    yield "kernel: single precision", .5, "kernel", single(of_kernel(3, 2, 5))
    yield "fft_conv: one channel, a short kernel", 1, "fft_conv", of_conv(1, 8, 1, 3)
    yield "fft_conv: a prime number of inputs, three channels", 1.5, "fft_conv", of_conv(2, 7, 3, 7)
    yield "fft_conv: a kernel longer than the input", 1, "fft_conv", of_conv(3, 6, 2, 17)
    yield "fft_conv: a single input", .5, "fft_conv", of_conv(2, 1, 3, 1)
    yield "fft_conv: single precision", 1, "fft_conv", single(of_conv(2, 8, 3, 8))
    yield "fft_conv: 300,000 inputs, within the time limit", 1.5, "fft_conv", of_conv(1, 300_000, 1, 300_001)

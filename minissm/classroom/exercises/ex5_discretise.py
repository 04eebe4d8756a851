"""Exercise 5. From time to tokens.                                        points: 10   about 15 lines

The state h(t) of N numbers and the input u(t) of M numbers follow a differential equation:

    h'(t) = A h(t) + B u(t)      A (N, N), B (N, M)                                              #? matrix=dense state=column
    h'(t) = h(t) A + u(t) B      A (N, N), B (M, N): states and inputs are rows                  #? matrix=dense state=row
    h'(t) = diag(A) h(t) + B u(t)      A (N,), B (N, M)                                          #? matrix=diagonal state=column
    h'(t) = h(t) diag(A) + u(t) B      A (N,), B (M, N): states and inputs are rows              #? matrix=diagonal state=row

We look at the state once per step of length dt. Two rules give a recurrence, each with its own A_bar and B_bar:

    h_t = A_bar h_{t-1} + B_bar u_t                                                              #? matrix=dense state=column input=step
    h_t = A_bar h_{t-1} + dt B_bar u_t      (dt stands outside B_bar)                            #? matrix=dense state=column input=rate
    h_t = h_{t-1} A_bar + u_t B_bar                                                              #? matrix=dense state=row input=step
    h_t = h_{t-1} A_bar + dt u_t B_bar      (dt stands outside B_bar)                            #? matrix=dense state=row input=rate
    h_t = diag(A_bar) h_{t-1} + B_bar u_t                                                        #? matrix=diagonal state=column input=step
    h_t = diag(A_bar) h_{t-1} + dt B_bar u_t      (dt stands outside B_bar)                      #? matrix=diagonal state=column input=rate
    h_t = h_{t-1} diag(A_bar) + u_t B_bar                                                        #? matrix=diagonal state=row input=step
    h_t = h_{t-1} diag(A_bar) + dt u_t B_bar      (dt stands outside B_bar)                      #? matrix=diagonal state=row input=rate

zoh (zero-order hold): the input is u_t during the whole step, and the solution is exact.
bilinear: h' becomes (h_t - h_{t-1}) / dt, the h on the right becomes (h_t + h_{t-1}) / 2, and the input is u_t.

A_bar and B_bar have the shapes and the dtype of A and B: all are float64, or all are complex128. dt is a number > 0, an
array without axes. A may be singular, or 0: both rules have an answer there, too. dt A / 2 never has the eigenvalue 1.  #? matrix=dense
array without axes. Entries of A may be 0, or nearly 0: both rules have an answer there, too. dt A / 2 is never 1.  #? matrix=diagonal

Example with N = M = 1:  A = -2, B = 3, dt = 1/2.
    zoh:       A_bar = exp(-1) = .3679    B_bar = 3 (1 - exp(-1)) / 2 = .9482                   #? input=step
    zoh:       A_bar = exp(-1) = .3679    B_bar = 3 (1 - exp(-1)) = 1.896                       #? input=rate
    bilinear:  h_t - h_{t-1} = -(h_t + h_{t-1}) / 2 + 3/2 u_t, so A_bar = 1/3, B_bar = 1        #? input=step
    bilinear:  h_t - h_{t-1} = -(h_t + h_{t-1}) / 2 + 3/2 u_t, so A_bar = 1/3, dt B_bar = 1, B_bar = 2  #? input=rate
    With a constant input of 1, both rules end at the state where h' = 0: h = 3/2. This tests every A with an inverse.
Example without an inverse: the state is (position, speed), the input is a force, dt = 2.       #? matrix=dense
    A = [[0, 1], [0, 0]]        B = [[0], [1]]                                                  #? matrix=dense state=column
    A_bar = [[1, 2], [0, 1]]    B_bar = [[2], [2]], by both rules                               #? matrix=dense state=column input=step
    A_bar = [[1, 2], [0, 1]]    B_bar = [[1], [1]], by both rules                               #? matrix=dense state=column input=rate
    A = [[0, 0], [1, 0]]        B = [[0, 1]]                                                    #? matrix=dense state=row
    A_bar = [[1, 0], [2, 1]]    B_bar = [[2, 2]], by both rules                                 #? matrix=dense state=row input=step
    A_bar = [[1, 0], [2, 1]]    B_bar = [[1, 1]], by both rules                                 #? matrix=dense state=row input=rate

Tutorial 02 has both rules for one pole, and says what becomes of B_bar in S4D, in Mamba and in minissm.
NumPy has no exponential of a matrix (np.exp is the exponential of each entry): expm is given.  #? matrix=dense
"""
import numpy as np


def expm(M):  #? matrix=dense
    """exp(M) = 1 + M + M^2 / 2 + ... of a square matrix: the series of M / 2^s, squared s times."""  #? matrix=dense
    s = max(0, int(np.frexp(np.abs(M).sum(axis=0).max())[1]) + 1)  # so that M / 2^s is small  #? matrix=dense
    term = result = np.eye(len(M))  #? matrix=dense
    for k in range(1, 18):  #? matrix=dense
        term = term @ M / (2**s * k)  #? matrix=dense
        result = result + term  #? matrix=dense
    for _ in range(s):  #? matrix=dense
        result = result @ result  #? matrix=dense
    return result  #? matrix=dense
  #? matrix=dense
  #? matrix=dense
def zoh(A, B, dt):
    """-> A_bar, B_bar"""
    #BEGIN
    A_bar = expm(dt * A)  #? matrix=dense
    A_bar = np.exp(dt * A)  #? matrix=diagonal
    F = phi(dt * A)
    B_bar = F @ B  #? matrix=dense state=column
    B_bar = B @ F  #? matrix=dense state=row
    B_bar = F[:, None] * B  #? matrix=diagonal state=column
    B_bar = B * F  #? matrix=diagonal state=row
    B_bar = dt * B_bar  #? input=step
    return A_bar, B_bar


def phi(Z):
    """1 + Z/2 + Z^2/6 + ..., which is (exp(Z) - 1) / Z where Z is not 0."""
    N = len(Z)  #? matrix=dense
    block = np.zeros((2 * N, 2 * N), Z.dtype)  #? matrix=dense
    block[:N, :N], block[:N, N:] = Z, np.eye(N)  #? matrix=dense
    return expm(block)[:N, N:]  #? matrix=dense
    safe = np.where(Z == 0, 1, Z)  #? matrix=diagonal
    return np.where(Z == 0, 1, np.expm1(safe) / safe)  #? matrix=diagonal
    #END


def bilinear(A, B, dt):
    """-> A_bar, B_bar"""
    #BEGIN
    half = dt / 2 * A
    one = np.eye(len(A))  #? matrix=dense
    inverse = np.linalg.inv(one - half)  #? matrix=dense
    A_bar = inverse @ (one + half)  #? matrix=dense
    inverse = 1 / (1 - half)  #? matrix=diagonal
    A_bar = inverse * (1 + half)  #? matrix=diagonal
    B_bar = inverse @ B  #? matrix=dense state=column
    B_bar = B @ inverse  #? matrix=dense state=row
    B_bar = inverse[:, None] * B  #? matrix=diagonal state=column
    B_bar = B * inverse  #? matrix=diagonal state=row
    B_bar = dt * B_bar  #? input=step
    return A_bar, B_bar
    #END


#HINT 1 Begin with N = M = 1, on paper. bilinear: bring all terms with h_t to the left. zoh: what enters a time s
# before the end of the step is exp(s A) times as large at the end. B_bar is B times the
# integral over all s from 0 to dt.
#HINT 2 The integral of exp(s A) is dt phi(dt A), with phi(z) = (exp(z) - 1) / z = 1 + z/2 + z^2/6 + ... So phi(0)
# is 1: no division is needed there. Near z = 0 the subtraction loses the digits of exp(z) - 1; np.expm1(z) keeps them.
#HINT 3 For a diagonal A, take phi entry by entry, with np.where at 0. For a matrix: the input is held, so u' = 0, and
# (h, u) is one state of N + M numbers. Its matrix has the blocks A, B and zeros. expm of dt times this matrix holds
# A_bar and dt phi(dt A) B. In the bilinear rule for a matrix, 1 is np.eye(N), and 1 / X is np.linalg.inv(X).

KIND = "write"
CHOICES = {"matrix": {"dense": "A is a matrix (N, N)", "diagonal": "A is a diagonal (N,)"},
           "input": {"step": "dt is part of B_bar", "rate": "dt stands outside B_bar"},
           "state": {"column": "states are columns: A h", "row": "states are rows: h A"}}
LIBRARY = [{"matrix": "diagonal", "input": "step", "state": state} for state in CHOICES["state"]]
RETURNS = {"zoh": ("A_bar", "B_bar"), "bilinear": ("A_bar", "B_bar")}

MISTAKES = {
    "B_bar of zoh is dt B: what enters early in the step must decay until its end": {"phi(dt * A)": "phi(0 * A)"},
    "zoh is the bilinear rule":
        {"A_bar = expm(dt * A)": "return bilinear(A, B, dt)", "A_bar = np.exp(dt * A)": "return bilinear(A, B, dt)"},
    "zoh divides by A where A is 0; the integral has a value there, too":
        {"return expm(block)[:N, N:]": "return np.linalg.pinv(Z) @ (expm(Z) - np.eye(N))",
         "return np.where(Z == 0, 1, np.expm1(safe) / safe)": "return np.expm1(Z) / Z"},
    "zoh computes exp(z) - 1 by subtraction, which loses all digits near z = 0":
        {"np.expm1(safe)": "(np.exp(safe) - 1)"},
    "zoh takes the exponential of each entry of A, not of the matrix":
        {"A_bar = expm(dt * A)": "A_bar = np.exp(dt * A)"},
    "B stands on the wrong side in zoh":
        {"F @ B": "(B.T @ F).T", "B @ F": "(F @ B.T).T", "F[:, None] * B": "F * B", "B * F": "B * F[:, None]"},
    "A_bar of zoh is 1 + dt A, which is Euler's rule":
        {"A_bar = expm(dt * A)": "A_bar = np.eye(len(A)) + dt * A", "A_bar = np.exp(dt * A)": "A_bar = 1 + dt * A"},
    "B_bar of zoh is exp(dt A) dt B: only what enters at the beginning decays through the whole step":
        {"F = phi(dt * A)": "F = A_bar"},
    "the imaginary part of A is lost in B_bar of zoh (np.zeros is real without a dtype)":
        {"phi(dt * A)": "phi(dt * A.real)"},
    "bilinear has dt A where dt A / 2 is meant": {"dt / 2 * A": "dt * A"},
    "1 + dt A / 2 and 1 - dt A / 2 are swapped in A_bar of bilinear":
        {"inverse @ (one + half)": "np.linalg.inv(one + half) @ (one - half)",
         "inverse * (1 + half)": "(1 - half) / (1 + half)"},
    "the inverse is missing in A_bar of bilinear":
        {"inverse @ (one + half)": "one + half", "inverse * (1 + half)": "1 + half"},
    "the inverse is missing in B_bar of bilinear":
        {"inverse @ B": "1 * B", "B @ inverse": "1 * B", "inverse[:, None] * B": "1 * B", "B * inverse": "1 * B"},
    "bilinear is the backward Euler rule; it must take the mean of both ends":
        {"half = dt / 2 * A": "half = 1 * dt * A", "inverse @ (one + half)": "inverse.copy()",
         "inverse * (1 + half)": "inverse.copy()"},
    "B_bar of bilinear has the factor 1 + dt A / 2, which belongs to h_{t-1} alone":
        {"inverse @ B": "A_bar @ B", "B @ inverse": "B @ A_bar", "inverse[:, None] * B": "A_bar[:, None] * B",
         "B * inverse": "B * A_bar"},
    "B stands on the wrong side in bilinear":
        {"inverse @ B": "(B.T @ inverse).T", "B @ inverse": "(inverse @ B.T).T", "inverse[:, None] * B": "inverse * B",
         "B * inverse": "B * inverse[:, None]"},
    "bilinear divides entry by entry where the inverse of a matrix is meant":
        {"inverse @ (one + half)": "(one + half) / (one - half)"},
    "bilinear is zero-order hold": {"half = dt / 2 * A": "return zoh(A, B, dt)"},
}
READ = {"Euler": "tutorial 02, 'Why not Euler: the unit circle'",
        "": "tutorial 02, 'The rain: what enters in one step'"}


def cases(rng, P):
    def draw(N, M, dt, i=0):
        z = lambda *s: rng.normal(size=s) + i * rng.normal(size=s)
        A = z(N, N) / N**.5 - 2 * np.eye(N) if P["matrix"] == "dense" else z(N) - 1.5
        return [A, z(*((N, M) if P["state"] == "column" else (M, N))), np.array(dt)]

    def singular(N, M, dt):
        """Rank N - 1; of a diagonal, one entry is 0 and one so small that exp(z) - 1 has no digits."""
        A, B, dt = draw(N, M, dt, 1j)
        if P["matrix"] == "dense":
            A[:, 0] = A[:, 1:].sum(1) / 2
        else:
            A[:2] = 0, -1e-13
        return [A, B, dt]

    yield "zoh of one real pole", 1, "zoh", draw(1, 1, .5)
    yield "zoh of a real A", 1, "zoh", draw(3, 2, .3)
    yield "zoh of a complex A, as many inputs as states", 1, "zoh", draw(3, 3, .4, 1j)
    yield "zoh where A = 0", 1, "zoh", [0 * a if j == 0 else a for j, a in enumerate(draw(2, 1, .7))]
    yield "zoh of a singular A", 1, "zoh", singular(4, 2, .6)
    yield "zoh of a small step", 1, "zoh", draw(3, 2, 1e-3, 1j)
    yield "bilinear of one real pole", 1, "bilinear", draw(1, 1, .5)
    yield "bilinear of a real A", 1, "bilinear", draw(3, 2, .3)
    yield "bilinear of a complex A, as many inputs as states", 1, "bilinear", draw(3, 3, .4, 1j)
    yield "bilinear of a singular A, a large step", 1, "bilinear", singular(4, 2, 1.5)

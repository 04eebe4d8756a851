# ---- exercise 3: filters made to order

ex3 = load("ex3", **dict.fromkeys(("halving", "ringing", "beginning"), "log_lam, c"))
EX3_T, EX3_R, EX3_K0 = int("<T>"), float("<r>"), float("<k0>")  # your numbers


def ex3_kernel(function):
    """The kernel that these log_lam and c have on your sheet, k_0 to k_63, after a look at their form."""
    __tracebackhide__ = True
    log_lam, c = function()
    for name, a in (("log_lam", log_lam), ("c", c)):
        form(a, getattr(a, "shape", ()), getattr(a, "dtype", None), name)
    if log_lam.ndim != 1 or log_lam.shape != c.shape or not 1 <= log_lam.size <= 3:
        pytest.fail(f"log_lam has shape {log_lam.shape} and c {c.shape}; expected one shape (N,), N at most 3")
    if not (np.isfinite(log_lam).all() and np.isfinite(c).all() and np.real(log_lam).max() < 1e-12):
        pytest.fail("all numbers must be finite, and no |lam| above 1")
    powers = np.arange(64)  #? first=c
    powers = np.arange(1, 65)  #? first=lam
    return sum(np.real(c_n * np.exp(log_lam_n * powers)) for log_lam_n, c_n in zip(log_lam, c))  #? pairs=one
    return 2 * sum(np.real(c_n * np.exp(log_lam_n * powers)) for log_lam_n, c_n in zip(log_lam, c))  #? pairs=two


@pytest.mark.ex3
def test_ex3_halving_begins_with_1_and_half_is_left_after_a_while():
    k = ex3_kernel(ex3.halving)
    close(k[0], 1, name="k_0 of halving")
    if not (k > 0).all() or k[63] > 0.5:
        pytest.fail("the kernel of halving must fall and stay positive")


@pytest.mark.ex3
def test_ex3_ringing_begins_with_1_and_a_period_leaves_its_share():
    k = ex3_kernel(ex3.ringing)
    close(k[0], 1, name="k_0 of ringing")
    close(k[EX3_T], EX3_R, name=f"k_{EX3_T} of ringing")


@pytest.mark.ex3
def test_ex3_beginning_has_the_first_number():
    close(ex3_kernel(ex3.beginning)[0], EX3_K0, name="k_0 of beginning")

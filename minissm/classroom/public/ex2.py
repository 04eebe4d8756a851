# ---- exercise 2: catch the mistakes of exercise 1

ex1, ex2 = load("ex1", scan="y, h_last"), load("ex2", inputs="lam, c, u, h0")


@pytest.mark.ex2
def test_ex2_four_arrays_of_finite_numbers():
    arrays = ex2.inputs()
    for name, a in zip(("lam", "c", "u", "h0"), arrays):
        form(a, getattr(a, "shape", ()), getattr(a, "dtype", None), name)
        if a.dtype.kind not in "fciu" or not np.isfinite(a).all():
            pytest.fail(f"{name} must have finite numbers")
    if np.iscomplexobj(arrays[2]):
        pytest.fail("u must be real")


@pytest.mark.ex2
def test_ex2_at_most_16_numbers_in_all():
    sizes = [np.size(a) for a in ex2.inputs()]
    if sum(sizes) > 16:
        pytest.fail(f"{' + '.join(map(str, sizes))} = {sum(sizes)} numbers; expected at most 16")


@pytest.mark.ex2
def test_ex2_the_shapes_fit_together():
    lam, c, u, h0 = ex2.inputs()
    if lam.ndim != 2 or u.ndim != 3:
        pytest.fail(f"lam has {lam.ndim} axes and u has {u.ndim}; expected 2 and 3")
    (D, N), B = lam.shape, u.shape[0]  #? axes=BLD
    (D, N), B = lam.shape, u.shape[1]  #? axes=LBD
    form(c, (D, N), c.dtype, "c")
    form(u, (B, u.shape[1], D), u.dtype, "u")  #? axes=BLD
    form(u, (u.shape[0], B, D), u.dtype, "u")  #? axes=LBD
    form(h0, (B, D, N), h0.dtype, "h0")


@pytest.mark.ex2
def test_ex2_your_own_scan_runs_on_it():
    lam, c, u, h0 = ex2.inputs()
    y, h_last = ex1.scan(lam + 0j, c + 0j, u + 0.0, h0 + 0j)
    form(y, u.shape, "float64", "y of your ex1.py")
    form(h_last, h0.shape, "complex128", "h_last of your ex1.py")

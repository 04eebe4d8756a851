# ---- exercise 7: catch the mistakes of exercise 6

ex6 = load("ex6", scan_backward="dlam, dc, du, dh0")
ex7 = load("ex7", inputs="lam, c, u, h0, dy, dh_last")


@pytest.mark.ex7
def test_ex7_six_arrays_of_finite_numbers():
    arrays = ex7.inputs()
    for name, a in zip(("lam", "c", "u", "h0", "dy", "dh_last"), arrays):
        form(a, getattr(a, "shape", ()), getattr(a, "dtype", None), name)
        if a.dtype.kind not in "fciu" or not np.isfinite(a).all():
            pytest.fail(f"{name} must have finite numbers")
        if name in ("u", "dy") and np.iscomplexobj(a):
            pytest.fail(f"{name} must be real")


@pytest.mark.ex7
def test_ex7_at_most_24_numbers_in_all():
    sizes = [np.size(a) for a in ex7.inputs()]
    if sum(sizes) > 24:
        pytest.fail(f"{' + '.join(map(str, sizes))} = {sum(sizes)} numbers; expected at most 24")


@pytest.mark.ex7
def test_ex7_the_shapes_fit_together():
    lam, c, u, h0, dy, dh_last = ex7.inputs()
    if lam.ndim != 2 or u.ndim != 3:
        pytest.fail(f"lam has {lam.ndim} axes and u has {u.ndim}; expected 2 and 3")
    (D, N), (B, L, _) = lam.shape, u.shape  #? axes=BLD
    (D, N), (L, B, _) = lam.shape, u.shape  #? axes=LBD
    form(c, (D, N), c.dtype, "c")
    for name, a in (("u", u), ("dy", dy)):
        form(a, (B, L, D), a.dtype, name)  #? axes=BLD
        form(a, (L, B, D), a.dtype, name)  #? axes=LBD
    for name, a in (("h0", h0), ("dh_last", dh_last)):
        form(a, (B, D, N), a.dtype, name)


@pytest.mark.ex7
def test_ex7_your_own_backward_runs_on_it():
    lam, c, u, h0, dy, dh_last = ex7.inputs()
    found = ex6.scan_backward(lam + 0j, c + 0j, u + 0.0, h0 + 0j, dy + 0.0, dh_last + 0j)
    for name, a, b in zip(("dlam", "dc", "du", "dh0"), found, (lam, c, u, h0)):
        form(a, b.shape, "float64" if name == "du" else "complex128", f"{name} of your ex6.py")

# ---- exercise 4: one long convolution

ex4 = load("ex4")


def ex4_inputs(B, L, D, K, seed=0):
    """u, k, skip, with the axes of your sheet."""
    rng = np.random.default_rng(seed)
    u, k, skip = rng.normal(size=(B, L, D)), rng.normal(size=(K, D)), rng.normal(size=D)
    u, k = np.moveaxis(u, 1, 2).copy(), k.T.copy()  #? axes=DL
    return u, k, skip


@pytest.mark.ex4
def test_ex4_the_kernel_of_the_example():
    k = ex4.kernel(np.array([[0.5j]]), np.array([[1 - 1j]]), 3)
    expected = np.array([[1, 0.5, -0.25]])  #? poles=all
    expected = np.array([[2, 1, -0.5]])  #? poles=half
    close(k, expected.T, name="k")  #? axes=LD
    close(k, expected, name="k")  #? axes=DL


@pytest.mark.ex4
def test_ex4_the_outputs_of_the_example():
    k = np.array([[1, 0.5, -0.25]])  #? poles=all
    k = np.array([[2, 1, -0.5]])  #? poles=half
    u = np.array([[[1.0, 2.0, 3.0, 0.0]]])
    y = ex4.fft_conv(np.moveaxis(u, 1, 2), k.T, np.array([3.0]))[0, :, 0]  #? axes=LD
    y = ex4.fft_conv(u, k, np.array([3.0]))[0, 0]  #? axes=DL
    close(y, [4, 8.5, 12.75, 1], name="y")  #? poles=all time=forward
    close(y, [5, 11, 16.5, 2], name="y")  #? poles=half time=forward
    close(y, [4.25, 9.5, 12, 0], name="y")  #? poles=all time=backward
    close(y, [5.5, 13, 15, 0], name="y")  #? poles=half time=backward


@pytest.mark.ex4
def test_ex4_shapes_and_dtypes_of_the_kernel():
    lam = np.full((4, 3), 0.5 + 0.2j)
    for kinds in (("complex128", "float64"), ("complex64", "float32")):
        k = ex4.kernel(lam.astype(kinds[0]), lam.astype(kinds[0]), 7)
        form(k, (7, 4), kinds[1], "k")  #? axes=LD
        form(k, (4, 7), kinds[1], "k")  #? axes=DL


@pytest.mark.ex4
def test_ex4_shapes_and_dtypes_of_the_outputs():
    for L, K in ((7, 4), (8, 3), (1, 2)):
        arrays = ex4_inputs(2, L, 4, K)
        for dtype in ("float64", "float32"):
            form(ex4.fft_conv(*(a.astype(dtype) for a in arrays)), arrays[0].shape, dtype, "y")


@pytest.mark.ex4
def test_ex4_the_inputs_are_not_written_to():
    unchanged(ex4.fft_conv, *ex4_inputs(2, 7, 4, 4))
    unchanged(ex4.kernel, np.full((4, 3), 0.5 + 0.2j), np.full((4, 3), 1 - 1j), np.int64(6))


@pytest.mark.ex4
def test_ex4_the_outputs_are_linear_in_u():
    u, k, skip = ex4_inputs(2, 7, 4, 4)
    v, _, _ = ex4_inputs(2, 7, 4, 4, seed=1)
    both = ex4.fft_conv(u + 2 * v, k, skip)
    close(both, ex4.fft_conv(u, k, skip) + 2 * ex4.fft_conv(v, k, skip), name="y of u + 2 v")


@pytest.mark.ex4
def test_ex4_no_output_depends_on_the_wrong_side_of_time():
    u, k, skip = ex4_inputs(1, 8, 1, 5)
    other = u.copy()
    other.reshape(-1)[3] += 1
    change = (ex4.fft_conv(other, k, skip) - ex4.fft_conv(u, k, skip)).reshape(-1)
    changed = np.flatnonzero(np.abs(change) > 1e-9).tolist()
    expected = [3, 4, 5, 6, 7]  #? time=forward
    expected = [0, 1, 2, 3]  #? time=backward
    if changed != expected:
        pytest.fail(f"input 3 of 0 to 7 was changed: the outputs {changed} changed; expected {expected}")

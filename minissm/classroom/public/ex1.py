# ---- exercise 1: the recurrence

ex1 = load("ex1", scan="y, h_last")


def ex1_axes(a):
    """(B, L, D) as on your sheet, and back."""
    return a  #? axes=BLD
    return np.moveaxis(a, 1, 0)  #? axes=LBD


def ex1_inputs(B, L, D, N, seed=0):
    rng = np.random.default_rng(seed)
    z = lambda *shape: rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return 0.5 * z(D, N), z(D, N), ex1_axes(rng.normal(size=(B, L, D))), z(B, D, N)


@pytest.mark.ex1
def test_ex1_the_example_of_the_sheet():
    y, h_last = ex1.scan(np.array([[0.5j]]), np.array([[1 - 1j]]), ex1_axes(np.array([[[1.0], [2.0], [3.0]]])))
    close(y, ex1_axes(np.array([[[1], [2.5], [3.75]]])), name="y")  #? output=after time=forward
    close(y, ex1_axes(np.array([[[0], [1], [2.5]]])), name="y")  #? output=before time=forward
    close(y, ex1_axes(np.array([[[1.25], [3.5], [3]]])), name="y")  #? output=after time=backward
    close(y, ex1_axes(np.array([[[3.5], [3], [0]]])), name="y")  #? output=before time=backward
    close(h_last, [[[2.75 + 1j]]], name="h_last")  #? time=forward
    close(h_last, [[[0.25 + 1j]]], name="h_last")  #? time=backward


@pytest.mark.ex1
def test_ex1_shapes_and_dtypes_in_both_precisions():
    arrays = ex1_inputs(2, 7, 4, 3)
    single = [a.astype("F" if np.iscomplexobj(a) else "f") for a in arrays]
    for inputs, real, complex_ in ((arrays, "float64", "complex128"), (single, "float32", "complex64")):
        for h0 in (None, inputs[3]):
            y, h_last = ex1.scan(*inputs[:3], h0)
            form(y, inputs[2].shape, real, "y")
            form(h_last, (2, 4, 3), complex_, "h_last")


@pytest.mark.ex1
def test_ex1_a_single_input():
    y, h_last = ex1.scan(*ex1_inputs(2, 1, 4, 3))
    form(y, ex1_axes(np.zeros((2, 1, 4))).shape, "float64", "y")
    form(h_last, (2, 4, 3), "complex128", "h_last")


@pytest.mark.ex1
def test_ex1_the_inputs_are_not_written_to():
    unchanged(ex1.scan, *ex1_inputs(2, 5, 4, 3))


@pytest.mark.ex1
def test_ex1_the_scan_is_linear_in_u_and_h0():
    lam, c, u, h0 = ex1_inputs(2, 7, 4, 3)
    _, _, v, g0 = ex1_inputs(2, 7, 4, 3, seed=1)
    found = [ex1.scan(lam, c, *inputs) for inputs in ((u + 2 * v, h0 + 2 * g0), (u, h0), (v, g0))]
    for name, both, one, other in zip(("y", "h_last"), *found):
        close(both, one + 2 * other, name=f"{name} of u + 2 v")


@pytest.mark.ex1
def test_ex1_an_output_depends_on_what_came_before_it_alone():
    lam, c, u, h0 = ex1_inputs(1, 7, 1, 3)
    other = u.copy()
    ex1_axes(other)[0, 3] += 1
    change = ex1_axes(ex1.scan(lam, c, u, h0)[0] - ex1.scan(lam, c, other, h0)[0])[0, :, 0]
    changed = np.flatnonzero(np.abs(change) > 1e-9).tolist()
    expected = [3, 4, 5, 6]  #? output=after time=forward
    expected = [4, 5, 6]  #? output=before time=forward
    expected = [0, 1, 2, 3]  #? output=after time=backward
    expected = [0, 1, 2]  #? output=before time=backward
    if changed != expected:
        pytest.fail(f"input 3 of 0 to 6 was changed: the outputs {changed} changed; expected {expected}")


@pytest.mark.ex1
def test_ex1_each_sequence_of_a_batch_runs_on_its_own():
    lam, c, u, h0 = ex1_inputs(3, 5, 4, 2)
    y, h_last = ex1.scan(lam, c, u, h0)
    for b in range(3):
        alone = ex1.scan(lam, c, ex1_axes(ex1_axes(u)[b : b + 1]), h0[b : b + 1])
        close(ex1_axes(alone[0])[0], ex1_axes(y)[b], name=f"y of sequence {b} alone")
        close(alone[1][0], h_last[b], name=f"h_last of sequence {b} alone")

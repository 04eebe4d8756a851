# ---- exercise 6: the gradient of the recurrence

ex6 = load("ex6", scan_backward="dlam, dc, du, dh0")
EX6_HALF = 1  #? gradient=sum
EX6_HALF = 2  # a gradient is half of the derivatives  #? gradient=half


def ex6_inputs(B, L, D, N, kind=np.complex128):
    """-> lam, c, u, h0, dy, dh_last"""
    rng = np.random.default_rng(6)
    z = lambda *shape: (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(kind)
    along = (B, L, D)  #? axes=BLD
    along = (L, B, D)  #? axes=LBD
    return z(D, N) / 2, z(D, N), z(*along).real, z(B, D, N), z(*along).real, z(B, D, N)


def ex6_call(*inputs):
    """-> dlam, dc, du, dh0"""
    __tracebackhide__ = True
    return unchanged(ex6.scan_backward, *inputs)


@pytest.mark.ex6
def test_ex6_the_example_of_the_sheet():
    u, dy = np.array([1.0, 0]), np.array([0, 1.0])  #? output=after
    u, dy = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])  #? output=before
    shape = (1, -1, 1)  #? axes=BLD
    shape = (-1, 1, 1)  #? axes=LBD
    nothing = np.zeros((1, 1, 1), complex)
    inputs = np.array([[0.5j]]), np.array([[1 + 2j]]), u.reshape(shape), nothing, dy.reshape(shape), nothing
    dlam, dc, du, dh0 = ex6_call(*inputs)
    close(dlam, np.array([[1 - 2j]]) / EX6_HALF, name="dlam")
    close(dc, np.array([[-0.5j]]) / EX6_HALF, name="dc")
    close(du, np.array([-1.0, 1]).reshape(shape), name="du")  #? output=after
    close(du, np.array([-1.0, 1, 0]).reshape(shape), name="du")  #? output=before
    close(dh0, np.array([[[-0.25 + 0.5j]]]) / EX6_HALF, name="dh0")


@pytest.mark.ex6
def test_ex6_a_gradient_has_the_shape_and_the_dtype_of_its_input():
    for L, kind in ((5, np.complex128), (1, np.complex128), (5, np.complex64)):
        inputs = ex6_inputs(2, L, 3, 4, kind)
        for name, array, gradient in zip(("dlam", "dc", "du", "dh0"), inputs, ex6_call(*inputs)):
            form(gradient, array.shape, array.dtype, name)


@pytest.mark.ex6
def test_ex6_the_gradients_fit_small_steps():
    """Two inputs, one sequence that begins at 0, two channels of three poles; the loss is y times dy, summed."""
    lam, c, u, h0, dy, dh_last = ex6_inputs(1, 2, 2, 3)
    h0, dh_last = 0 * h0, 0 * dh_last
    dy_1, dy_2 = dy[:, 0], dy[:, 1]  #? axes=BLD
    dy_1, dy_2 = dy  #? axes=LBD

    def loss(lam, c, u, h0):
        u_1, u_2 = u[:, 0, :, None], u[:, 1, :, None]  #? axes=BLD
        u_1, u_2 = u[..., None]  #? axes=LBD
        y_1, y_2 = c * (lam * h0 + u_1), c * (lam**2 * h0 + lam * u_1 + u_2)  #? output=after
        y_1, y_2 = c * h0, c * (lam * h0 + u_1) + 0 * u_2  #? output=before
        return (dy_1 * y_1.sum(-1).real + dy_2 * y_2.sum(-1).real).sum()

    found = ex6_call(lam, c, u, h0, dy, dh_last)
    slopes(loss, (lam, c, u, h0), dict(zip(("dlam", "dc", "du", "dh0"), found)), factor=EX6_HALF)


@pytest.mark.ex6
def test_ex6_the_gradients_are_linear_in_what_comes_in():
    lam, c, u, h0, dy, dh_last = ex6_inputs(2, 5, 3, 2)
    one, two = ex6_call(lam, c, u, h0, dy, dh_last), ex6_call(lam, c, u, h0, dy**2, 1j * dh_last)
    both = ex6_call(lam, c, u, h0, 2 * dy - 3 * dy**2, (2 - 3j) * dh_last)
    for name, a, b, found in zip(("dlam", "dc", "du", "dh0"), one, two, both):
        close(found, 2 * a - 3 * b, name=name)

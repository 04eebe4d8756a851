# ---- exercise 5: from time to tokens

ex5 = load("ex5", zoh="A_bar, B_bar", bilinear="A_bar, B_bar")
EX5_OVER = 1  #? input=step
EX5_OVER = 0.5  # dt of the first example, which stands outside B_bar  #? input=rate


def ex5_one_pole(a, b):
    """-> A, B for N = M = 1"""
    return np.array([[a]]), np.array([[b]])  #? matrix=dense
    return np.array([a]), np.array([[b]])  #? matrix=diagonal


def ex5_call(rule, A, B, dt):
    """-> A_bar, B_bar"""
    __tracebackhide__ = True
    return unchanged(rule, A, B, np.array(dt))


@pytest.mark.ex5
def test_ex5_zoh_of_one_pole_is_the_example_of_the_sheet():
    A, B = ex5_one_pole(-2.0, 3.0)
    A_bar, B_bar = ex5_call(ex5.zoh, A, B, 0.5)
    close(A_bar, np.exp(-1) + 0 * A, name="A_bar")
    close(B_bar, 1.5 * (1 - np.exp(-1)) / EX5_OVER + 0 * B, name="B_bar")


@pytest.mark.ex5
def test_ex5_bilinear_of_one_pole_is_the_example_of_the_sheet():
    A, B = ex5_one_pole(-2.0, 3.0)
    A_bar, B_bar = ex5_call(ex5.bilinear, A, B, 0.5)
    close(A_bar, 1 / 3 + 0 * A, name="A_bar")
    close(B_bar, 1 / EX5_OVER + 0 * B, name="B_bar")

  #? matrix=dense
@pytest.mark.ex5  #? matrix=dense
def test_ex5_position_and_speed_are_the_second_example_of_the_sheet():  #? matrix=dense
    A, B = np.array([[0.0, 1], [0, 0]]), np.array([[0.0], [1]])  #? matrix=dense state=column
    A, B = np.array([[0.0, 0], [1, 0]]), np.array([[0.0, 1]])  #? matrix=dense state=row
    for rule in (ex5.zoh, ex5.bilinear):  #? matrix=dense
        A_bar, B_bar = ex5_call(rule, A, B, 2.0)  #? matrix=dense
        close(A_bar, np.eye(2) + 2 * A, name="A_bar")  #? matrix=dense
        close(B_bar, 0 * B + 2.0, name="B_bar")  #? matrix=dense input=step
        close(B_bar, 0 * B + 1.0, name="B_bar")  #? matrix=dense input=rate
  #? matrix=dense

@pytest.mark.ex5
def test_ex5_the_results_have_the_shapes_and_the_dtypes_of_the_inputs():
    for rule, kind in ((ex5.zoh, float), (ex5.bilinear, float), (ex5.zoh, complex), (ex5.bilinear, complex)):
        A, B = -np.eye(3, dtype=kind), np.ones((3, 2), kind)  #? matrix=dense state=column
        A, B = -np.eye(3, dtype=kind), np.ones((2, 3), kind)  #? matrix=dense state=row
        A, B = -np.ones(3, kind), np.ones((3, 2), kind)  #? matrix=diagonal state=column
        A, B = -np.ones(3, kind), np.ones((2, 3), kind)  #? matrix=diagonal state=row
        A_bar, B_bar = ex5_call(rule, A, B, 0.1)
        form(A_bar, A.shape, kind, "A_bar")
        form(B_bar, B.shape, kind, "B_bar")


@pytest.mark.ex5
def test_ex5_zoh_of_one_step_is_zoh_of_two_half_steps():
    """The input is the same in both half steps, so what entered in the first decays through the second."""
    A, B = ex5_one_pole(-0.7, 1.0)
    (A_bar, B_bar), (A_half, B_half) = ex5_call(ex5.zoh, A, B, 0.6), ex5_call(ex5.zoh, A, B, 0.3)
    close(A_bar, A_half * A_half, name="A_bar")
    close(B_bar, A_half * B_half + B_half, name="B_bar")  #? input=step
    close(2 * B_bar, A_half * B_half + B_half, name="2 B_bar")  #? input=rate


@pytest.mark.ex5
def test_ex5_bilinear_has_slope_2_in_dt():
    """From time 0 to 1 in n steps: twice as many steps leave a quarter of the error. zoh is exact, in one step."""
    A, B = ex5_one_pole(-0.2 + 3j, 1.0 + 0j)
    exact, _ = ex5_call(ex5.zoh, A, B, 1.0)
    error = [abs(ex5_call(ex5.bilinear, A, B, 1 / n)[0] ** n - exact).max() for n in (100, 200)]
    if not 3.9 < error[0] / error[1] < 4.1:
        pytest.fail(f"with twice as many steps the error falls by a factor of {error[0] / error[1]:.3g}; expected 4")

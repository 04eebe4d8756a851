ex8 = load("ex8", attention_backward="dq, dk, dv")


def ex8_arrays(number, B=2, L=7, P=3, dtype="f8"):
    return [np.random.default_rng(8).normal(size=(number, B, L, P)).astype(dtype)[i] for i in range(number)]


@pytest.mark.ex8
def test_ex8_two_tokens_by_hand():
    q = np.ones((1, 2, 4))
    k = np.zeros((1, 2, 4))
    k[0, 1] = np.log(3)  # the score of token 1 with itself is 4 ln 3, divided by the scale
    v = np.array([[[1.0, 0, 0, 0], [0, 1, 0, 0]]])
    itself = 9.0  #? scale=root
    itself = 3.0  #? scale=full
    before = 1.0  #? fades=no
    before = np.exp(-1 / 4)  #? fades=yes
    expected = [[1, 0, 0, 0], [before / (before + itself), itself / (before + itself), 0, 0]]
    close(ex8.attention(q, k, v), [expected], name="o")


@pytest.mark.ex8
def test_ex8_equal_scores_give_a_mean_of_what_is_seen():
    q, k, (v,) = np.zeros((2, 7, 3)), np.zeros((2, 7, 3)), ex8_arrays(1)
    o = ex8.attention(q, k, v)
    for t in range(7):
        seen = list(range(t + 1))  #? sees=past
        seen = list(range(max(0, t - 3), t + 1))  #? sees=window
        weight = np.ones(len(seen))  #? fades=no
        weight = np.exp([-(t - s) / 4 for s in seen])  #? fades=yes
        close(o[:, t], np.einsum("s,bsp->bp", weight / weight.sum(), v[:, seen]), name=f"o at t = {t}")


@pytest.mark.ex8
def test_ex8_a_later_token_changes_no_output():
    q, k, v = ex8_arrays(3)
    before = ex8.attention(q, k, v)
    for x in (q, k, v):
        x[:, 5] += 1
    close(ex8.attention(q, k, v)[:, :5], before[:, :5], name="o before the token that was changed")


@pytest.mark.ex8
def test_ex8_the_order_of_the_batch_does_not_matter():
    arrays = ex8_arrays(3)
    close(ex8.attention(*(x[::-1] for x in arrays)), ex8.attention(*arrays)[::-1], name="o")


@pytest.mark.ex8
def test_ex8_large_scores_overflow_nowhere():
    q, k, v = ex8_arrays(3)
    q[..., 0] = k[..., 0] = 80
    q[:, ::2, 0] = -80
    close(ex8.attention(q, k, np.ones_like(v)), np.ones_like(v), name="o, where all values are 1")


@pytest.mark.ex8
def test_ex8_shapes_and_dtypes():
    for dtype in ("float64", "float32"):
        arrays = ex8_arrays(4, dtype=dtype)
        form(unchanged(ex8.attention, *arrays[:3]), (2, 7, 3), dtype, "o")
        for name, gradient in zip(("dq", "dk", "dv"), unchanged(ex8.attention_backward, *arrays)):
            form(gradient, (2, 7, 3), dtype, name)


@pytest.mark.ex8
def test_ex8_the_gradients_fit_small_steps():
    for L in (1, 2, 7):
        *arrays, do = ex8_arrays(4, L=L)
        dq, dk, dv = ex8.attention_backward(*arrays, do)
        slopes(lambda q, k, v: (do * ex8.attention(q, k, v)).sum(), arrays, {"dq": dq, "dk": dk, "dv": dv})

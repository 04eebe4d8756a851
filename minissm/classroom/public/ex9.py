ex9 = load("ex9", selective_scan="y, h_last")


def ex9_arrays(B=2, L=5, E=3, N=2, dtype="f8"):
    """u, raw, log_a, b, c, skip, h0"""
    rng = np.random.default_rng(9)
    shapes = (B, L, E), (B, L, E), (E, N), (B, L, N), (B, L, N), (E,), (B, E, N)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.ex9
def test_ex9_one_token_by_hand():
    u, raw = np.array([[[2.0]]]), np.array([[[np.log(3)]]])  # dt = ln(1 + 3) = ln 4
    log_a, skip = np.array([[np.log(0.5)]]), np.array([10.0])  # A = -1/2, exp(dt A) = 1/2
    b, c, h0 = np.array([[[3.0]]]), np.array([[[7.0]]]), np.array([[[8.0]]])
    enters = np.log(4) * 3 * 2  #? hold=euler
    enters = (1 / 2 - 1) / (-1 / 2) * 3 * 2  #? hold=exact
    h = 8 / 2 + enters
    y, h_last = ex9.selective_scan(u, raw, log_a, b, c, skip, h0)
    close(h_last, [[[h]]], name="h_last")
    close(y, [[[7 * h + 10 * 2]]], name="y")  #? output=after
    close(y, [[[7 * 8 + 10 * 2]]], name="y")  #? output=before


@pytest.mark.ex9
def test_ex9_a_token_with_a_step_near_0_changes_no_state():
    u, raw, log_a, b, c, skip, h0 = ex9_arrays(L=1)
    y, h_last = ex9.selective_scan(u, np.full_like(raw, -50), log_a, b, c, skip, h0)
    close(h_last, h0, name="h_last")
    close(y, np.einsum("bln,ben->ble", c, h0) + skip * u, name="y")


@pytest.mark.ex9
def test_ex9_two_pieces_with_the_state_between_give_the_whole():
    u, raw, log_a, b, c, skip, h0 = ex9_arrays()
    y, h_last = ex9.selective_scan(u, raw, log_a, b, c, skip, h0)
    y1, h1 = ex9.selective_scan(u[:, :3], raw[:, :3], log_a, b[:, :3], c[:, :3], skip, h0)
    y2, h2 = ex9.selective_scan(u[:, 3:], raw[:, 3:], log_a, b[:, 3:], c[:, 3:], skip, h1)
    close(np.concatenate([y1, y2], axis=1), y, name="y of two pieces")
    close(h2, h_last, name="h_last of two pieces")


@pytest.mark.ex9
def test_ex9_a_later_token_changes_no_output():
    u, raw, log_a, b, c, skip, h0 = ex9_arrays()
    y, _ = ex9.selective_scan(u, raw, log_a, b, c, skip, h0)
    for x in (u, raw, b, c):
        x[:, 4] += 1
    y_changed, _ = ex9.selective_scan(u, raw, log_a, b, c, skip, h0)
    close(y_changed[:, :4], y[:, :4], name="y before the token that was changed")


@pytest.mark.ex9
def test_ex9_a_sequence_of_a_batch_gives_the_same_alone():
    *arrays, skip, h0 = ex9_arrays()
    log_a = arrays.pop(2)
    y, _ = ex9.selective_scan(*arrays[:2], log_a, *arrays[2:], skip)
    u, raw, b, c = (x[1:] for x in arrays)
    close(y[1:], ex9.selective_scan(u, raw, log_a, b, c, skip)[0], name="y of the second sequence")


@pytest.mark.ex9
def test_ex9_a_channel_gives_the_same_alone():
    u, raw, log_a, b, c, skip, h0 = ex9_arrays()
    y, h_last = ex9.selective_scan(u, raw, log_a, b, c, skip, h0)
    y2, h2 = ex9.selective_scan(u[..., 2:], raw[..., 2:], log_a[2:], b, c, skip[2:], h0[:, 2:])
    close(y[..., 2:], y2, name="y of channel 2")
    close(h_last[:, 2:], h2, name="h_last of channel 2")


@pytest.mark.ex9
def test_ex9_shapes_and_dtypes():
    for dtype in ("float64", "float32"):
        y, h_last = unchanged(ex9.selective_scan, *ex9_arrays(dtype=dtype))
        form(y, (2, 5, 3), dtype, "y")
        form(h_last, (2, 3, 2), dtype, "h_last")

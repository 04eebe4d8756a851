"""Token by token = in pieces = the whole, for every block, with gradients through the pieces."""

import numpy as np
import pytest

from minissm import Model, gradcheck, load_state, save_state, tree

from .oracles import draw

B, L, V, D = 2, 7, 5, 6
BLOCKS = (
    "ssm(poles=3)",
    "ssm(variant='real', poles=3)",
    "trig(window=3)",
    "fir(window=9)",
    "s6(d_state=3)",
    "attn(max_len=12)",
    "lstm",
    "mean",
    "fnn1",
)
MODELS = (*BLOCKS, "attn(positions='none')", " + ".join(BLOCKS))
ALL = pytest.mark.parametrize("spec", MODELS)


def drawn(spec, rng, **options):
    net = Model(spec, vocab=V, width=D, dtype="float64", **options)
    return net, tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), net.init(rng)), rng.integers(0, V, (B, L))


def assert_same(a, b, tolerance=1e-11):
    a, b = dict(tree.named(a)), dict(tree.named(b))
    assert a.keys() == b.keys()
    for name in a:
        if a[name] is not None or b[name] is not None:
            np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)


def cut(state):
    """Attention's buffers up to what they hold."""
    if isinstance(state, dict) and "filled" in state:
        return {name: a[:, :, : state["filled"]] for name, a in state.items() if name != "filled"}
    if isinstance(state, dict):
        return {name: cut(a) for name, a in state.items()}
    return [cut(a) for a in state] if isinstance(state, list) else state


@ALL
@pytest.mark.parametrize("length", [None, 1, L, 20])
def test_token_by_token_is_the_whole(spec, length, rng):
    net, params, tokens = drawn(spec, rng)
    y, end, _ = net.run(params, tokens)
    np.testing.assert_array_equal(y, net(params, tokens)[0])
    for step in (net.stepper(params), lambda state, x_t: net.step(params, state, x_t)):
        state = net.start(params, B, length)
        for t in range(L):
            y_t, state = step(state, tokens[:, t])
            np.testing.assert_allclose(y_t, y[:, t], rtol=0, atol=1e-11)
        assert state["position"] == end["position"] == L
        assert_same(cut(state), cut(end))


@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_go_on_behind_a_piece(norm, residual, dtype, rng):
    net = Model(MODELS[-1], vocab=V, width=D, norm=norm, residual=residual, dtype=dtype)
    params, tokens, tolerance = net.init(rng), rng.integers(0, V, (B, L)), 1e-4 if dtype == "float32" else 1e-11
    whole, _, _ = net.run(params, tokens)
    _, state, backward = net.run(params, tokens[:, :3])
    before = tree.map(np.copy, backward(whole[:, :3])[0])
    step = net.stepper(params)
    for t in range(3, L):
        y_t, state = step(state, tokens[:, t])
        assert y_t.dtype == dtype
        np.testing.assert_allclose(y_t, whole[:, t], rtol=0, atol=tolerance)
    assert_same(backward(whole[:, :3])[0], before, 0)  # the steps wrote into nothing that it holds


@ALL
def test_a_kept_copy_of_a_state_goes_on_to_the_same_numbers(spec, rng):
    net, params, tokens = drawn(spec, rng)
    step, state, found = net.stepper(params), net.start(params, B, L), []
    for t in range(3):
        _, state = step(state, tokens[:, t])
    kept = tree.map(lambda a: a.copy() if hasattr(a, "copy") else a, state)
    for begin in (state, kept):
        for t in range(3, L):
            y_t, begin = step(begin, tokens[:, t])
        found.append(y_t)
    np.testing.assert_array_equal(*found)


def test_a_stepper_is_of_the_parameters_that_it_was_given(rng):
    """Training makes new ones, and leaves these as they are."""
    net, params, tokens = drawn("ssm + lstm + attn", rng)
    step, trained = net.stepper(params), tree.map(lambda a: 1.1 * a, params)
    for p, one in ((params, step), (trained, net.stepper(trained))):
        y_t, _ = one(net.start(p, B), tokens[:, 0])
        np.testing.assert_allclose(y_t, net(p, tokens[:, :1])[0][:, 0], rtol=0, atol=1e-11)
    with pytest.raises(ValueError, match=r"Model: parameters with no blocks.2"):
        net.stepper(params | {"blocks": params["blocks"][:2]})


@pytest.mark.parametrize("name", BLOCKS[:-1])
def test_the_state_of_more_sequences_is_refused_by_a_step(name, rng):
    net, params, tokens = drawn(name, rng)
    step, state = net.stepper(params), net.start(params, B + 1)
    with pytest.raises(ValueError, match=r"expected .*\(.*\)"):
        step(state, tokens[:, 0])
    _, state = step(state, np.concatenate([tokens[:, 0], tokens[:1, 0]]))
    with pytest.raises(ValueError, match=r"expected .*\(.*\)"):
        step(state, tokens[:, 0])


@ALL
def test_one_hot_vectors_are_read_token_by_token_too(spec, rng):
    net, params, tokens = drawn(spec, rng)
    one_hot = np.eye(V)[tokens]
    y, _, _ = net.run(params, one_hot)
    state, step = net.start(params, B), net.stepper(params)
    for t in range(L):
        y_t, state = step(state, one_hot[:, t])
        np.testing.assert_allclose(y_t, y[:, t], rtol=0, atol=1e-11)


@ALL
@pytest.mark.parametrize("mode", ["auto", "recurrent", "chunked", "fft"])
def test_pieces_are_the_whole_with_their_gradients(spec, mode, rng):
    """Also from a state in the midst of a sequence, and with a cotangent of the last state."""
    net, params, tokens = drawn(spec, rng)
    x = np.eye(V)[tokens]
    _, before, _ = net.run(params, x[:, :2])
    x = x[:, 2:]
    y, end, backward = net.run(params, x, before, mode)
    dy = draw(rng, *y.shape)
    dend = tree.map(lambda a: draw(rng, *a.shape, dtype=a.dtype) if hasattr(a, "dtype") else None, end)
    whole = backward(dy, dend)
    y1, middle, back1 = net.run(params, x[:, :2], before, mode)
    y2, last, back2 = net.run(params, x[:, 2:], middle, mode)
    np.testing.assert_allclose(np.concatenate([y1, y2], axis=1), y, rtol=0, atol=1e-11)
    assert_same(last, end)
    dp2, dx2, dmiddle = back2(dy[:, 2:], dend)
    dp1, dx1, dfirst = back1(dy[:, :2], dmiddle)
    assert_same(tree.map(lambda a, b: a + b, dp1, dp2), whole[0], 1e-9)
    np.testing.assert_allclose(np.concatenate([dx1, dx2], axis=1), whole[1], rtol=0, atol=1e-9)
    assert_same(dfirst, whole[2], 1e-9)


@ALL
def test_gradients_of_a_piece(spec, rng):
    net, params, tokens = drawn(spec, rng)
    _, state, _ = net.run(params, tokens[:, :3])
    gradcheck(net.run, params, np.eye(V)[tokens[:, 3:]], state, names=("params", "x", "state"), directions=1)


@ALL
def test_a_run_writes_into_nothing_that_it_was_given(spec, rng):
    net, params, tokens = drawn(spec, rng)
    state = net.start(params, B, 9)
    for _ in range(2):
        _, state = net.step(params, state, tokens[:, 0])
    for a in tree.leaves(state):
        if hasattr(a, "flags"):
            a.flags.writeable = False
    first, _, backward = net.run(params, tokens, state)
    kept = tree.map(np.copy, backward(first)[0])
    again, after, _ = net.run(params, tokens, state)
    np.testing.assert_array_equal(first, again)
    net.step(params, after, tokens[:, 0])
    assert_same(backward(first)[0], kept, 0)


@pytest.mark.parametrize("spec", [s for s in MODELS if "real" not in s])  # where half of h stays zero
def test_a_state_has_the_size_that_is_said(spec, rng):
    net, params, tokens = drawn(spec, rng)
    _, state, _ = net.run(params, tokens[:1])
    for found, said in ((state, net.state_size(L)), (net.start(params, 1), net.state_size())):
        numbers = sum(a.size * (2 if a.dtype.kind == "c" else 1) for a in tree.leaves(found) if hasattr(a, "dtype"))
        assert numbers + ("mean" in spec) == said  # with the running mean's count


def test_single_precision_stays_single(rng):
    net = Model(MODELS[-1], vocab=V, width=D)
    params = net.init(rng)
    tokens = rng.integers(0, V, (B, L))
    y, state, backward = net.run(params, tokens, net.start(params, B))
    dparams, _, dstate = backward(y, state | {"position": None})
    y_t, after = net.step(params, state, tokens[:, 0])
    trees = (y, state, dparams, dstate, y_t, after)
    dtypes = {a.dtype for t in trees for a in tree.leaves(t) if hasattr(a, "dtype")}
    assert dtypes == {np.dtype(np.float32), np.dtype(np.complex64), np.dtype(np.float64)}
    double = [n for t in trees for n, a in tree.named(t) if getattr(a, "dtype", None) == np.float64]
    assert all(name.endswith(".sum") for name in double), "of the running mean alone"


def test_wrong_states_are_refused_in_one_sentence(rng):
    net, params, tokens = drawn("ssm + fnn1", rng)
    for wrong in ({}, [], {"blocks": [{}]}, {"blocks": None}, {"blocks": [{}, {}]}):
        with pytest.raises(ValueError, match="Model: the state does not fit this model of 2 blocks; give the state"):
            net.run(params, tokens, wrong)
    error = r"ssm: state is complex128 \(3, 12, 8\); expected \(2, 12, 8\) of complex64 or complex128"
    with pytest.raises(ValueError, match=error):
        net.run(params, tokens, net.start(params, 3))
    with pytest.raises(ValueError, match=r"Model.start: batch=0; expected an integer, 1 or more"):
        net.start(params, 0)
    with pytest.raises(ValueError, match=r"Model.start: length=0; expected an integer, 1 or more"):
        net.start(params, 2, 0)
    with pytest.raises(ValueError, match=r"Model.state_size: length=-1; expected an integer, 0 or more"):
        net.state_size(-1)


@pytest.mark.parametrize("given", BLOCKS)
@pytest.mark.parametrize("name", BLOCKS)
def test_the_state_of_another_block_is_refused_in_one_sentence(name, given, rng):
    net, params, tokens = drawn(name, rng)
    other, others, _ = drawn(given, rng)
    state = other.start(others, B, 9)
    if name == given or {name, given} <= {BLOCKS[0], BLOCKS[1]}:  # three poles and three poles
        net.run(params, tokens, state)
        return
    with pytest.raises((ValueError, TypeError), match=r"state|h0|arrays") as caught:
        net.run(params, tokens, state)
    assert "\n" not in str(caught.value)


def test_a_state_of_another_precision_is_refused(rng):
    for name in ("attn(max_len=12)", "lstm"):  # others cast their state, or have it in double precision in any case
        net, params, tokens = drawn(name, rng)
        single = Model(name, vocab=V, width=D)
        state = single.start(single.init(rng), B)
        with pytest.raises(ValueError, match=r"(float32|complex64)"):
            net.run(params, tokens, state)


def test_more_keys_than_there_is_room_for_are_refused(rng):
    net, params, tokens = drawn("attn", rng)
    state = net.start(params, B, 4)
    state["blocks"][0]["filled"] = 9
    for f in (lambda: net.run(params, tokens, state), lambda: net.step(params, state, tokens[:, 0])):
        with pytest.raises(ValueError, match=r"attn: a state with filled=9 .* 4 tokens; expected"):
            f()


def test_a_state_may_have_been_saved(tmp_path, rng):
    net, params, tokens = drawn(MODELS[-1], rng)
    _, state, _ = net.run(params, tokens[:, :3])
    save_state(tmp_path / "state.npz", state)
    y, _, _ = net.run(params, tokens[:, 3:], state)
    np.testing.assert_array_equal(net.run(params, tokens[:, 3:], load_state(tmp_path / "state.npz"))[0], y)


def test_none_as_a_cotangent_is_zero(rng):
    """For all of dy, for all of dstate, for a block of it, for a leaf of it."""
    net, params, tokens = drawn("lstm + attn + ssm + fir", rng)
    _, state, _ = net.run(params, tokens[:, :2])
    y, end, backward = net.run(params, tokens[:, 2:], state)
    dy = draw(rng, *y.shape)
    zeros = tree.map(lambda a: np.zeros_like(a) if hasattr(a, "dtype") else None, end)
    expected = backward(dy, zeros)
    by_leaf = tree.map(lambda a: None, zeros)
    by_leaf["blocks"][2:] = [None, None]
    for none in (None, {"position": None, "blocks": [None] * 4}, by_leaf):
        assert_same(backward(dy, none)[0], expected[0])
    assert_same(backward(None, end)[0], backward(np.zeros_like(dy), end)[0])
    for wrong in ({}, {"blocks": [None]}):
        with pytest.raises(ValueError, match="Model: the state does not fit this model"):
            backward(dy, wrong)


def test_wrong_cotangents_are_refused(rng):
    net, params, tokens = drawn("ssm + fnn1", rng)
    y, backward = net(params, tokens)
    for dy in (y.transpose(1, 0, 2), y.reshape(1, B * L, V), y.astype(np.float16)):
        with pytest.raises(ValueError, match=r"Model: dy is float(16|64) .*; expected float64 \(2, 7, 5\)"):
            backward(dy)


def test_wrong_tokens_for_a_step_are_refused(rng):
    net, params, tokens = drawn("ssm + fnn1", rng)
    state = net.start(params, B)
    for x, got in (
        (tokens[:, :1], r"int64 \(2, 1\)"),
        (3, "int"),
        ([1, 2], "a list"),
        (np.int64(1), r".*\(\)"),
    ):
        with pytest.raises(ValueError, match=rf"Model.step: x_t is {got}; expected \(B,\) of integers"):
            net.step(params, state, x)
    with pytest.raises(ValueError, match=r"Model.step: state is None; begin with net.start"):
        net.step(params, None, tokens[:, 0])
    assert net.start(params, 2.0, 4.0)["blocks"][0].shape[0] == 2
    assert Model("attn(max_len=4)", vocab=V, width=D).state_size(0) == 0


@pytest.mark.parametrize("spec", ["ssm", "ssm + fnn1 + attn", "trig", "s6", "lstm"])
@pytest.mark.parametrize("length", [1, 8, 50])
@pytest.mark.parametrize("mode", ["auto", "chunked", "fft", "recurrent"])
def test_a_step_that_uses_a_state_up_changes_no_gradient_of_a_run_that_had_it(spec, length, mode, rng):
    net = Model(spec, vocab=5, width=4)
    params, tokens, more = net.init(rng), rng.integers(0, 5, (2, 3)), rng.integers(0, 5, (2, length))
    step, state = net.stepper(params), net.start(params, batch=2)
    for t in range(3):
        _, state = step(state, tokens[:, t])
    y, _, backward = net.run(params, more, state, mode=mode)
    before = backward(y)[0]
    step(state, tokens[:, 0])
    tree.map(np.testing.assert_array_equal, backward(y)[0], before)

"""Every method that `minissm bench` times gives the right result: at tiny sizes, ours and those of installed peers."""

import numpy as np
import pytest

from minissm import Model, fast, losses, scan
from minissm.lab.bench import floor, floor_training, methods, ours, peers, training, workloads
from minissm.lab.bench.case import errors
from minissm.lab.bench.workloads import plain
from minissm.lab.budget import model_for
from minissm.tasks import copying

CASES = {
    "W1": lambda: workloads.lti(2, 37, 3, 2),
    "W1 short": lambda: workloads.lti(3, 1, 2, 1),
    "W2": lambda: workloads.s6(2, 67, 5, 3),  # longer than what numba's loop keeps at once
    "W3": lambda: workloads.recurrence(2, 11, 3),
    "W3 forward": lambda: workloads.recurrence(2, 11, 3, "forward"),
    "W3 backward": lambda: workloads.recurrence(2, 11, 3, "backward"),
    "W3 few": lambda: workloads.recurrence(2, 11, 3, few=1),
    "W4": lambda: workloads.window(2, 11, 3, U=5),
    "W5": lambda: workloads.step(2, 3, 2),
    "W6": lambda: workloads.attend(2, 3, 13, 4),
    "W7 ssm": lambda: trained("ssm + fnn1 + ssm + fnn1"),
    "W7 attn": lambda: trained("attn + fnn1 + attn + fnn1"),
}


def trained(sentence):
    task = copying(2, 5)
    return training.case(sentence, model_for(sentence, task, 6), task, 5, 10)


def check(case, found, owner):
    """All methods of the owner, twice: a second run must not go on where the first ended with other numbers."""
    reference = case.reference()
    found = [m for m in methods.methods_of(case, "numpy", found) if m.owner == owner]
    for m in found:
        error_y, error_gradient = errors(case.part(m.check()), reference)
        assert error_y < 1e-5, m.name
        assert error_gradient is None or error_gradient < 2e-5, m.name
        m.run()
    return found


@pytest.mark.parametrize("name", CASES)
def test_ours_agree_with_the_reference(name):
    assert check(CASES[name](), [], "minissm")


def peer_tests(name):
    peer = pytest.importorskip(f"minissm.lab.bench.peers.{name}_", reason=f"{name} is not installed: not compared")
    for case in (make() for make in CASES.values()):
        if case.workload in peer.METHODS or (case.workload == "W7" and hasattr(peer, "TRAINING")):
            assert check(case, [peer], name), case
    peer.threads(1)


def test_torch_agrees_with_the_reference():
    peer_tests("torch")


@pytest.mark.slow  # compiling takes seconds
@pytest.mark.parametrize("name", [name for name in peers.PEERS if name != "torch"])
def test_compiled_peers_agree_with_the_reference(name):
    peer_tests(name)


def test_the_reference_is_the_recurrence_as_it_is_written():
    case = CASES["W1"]()
    log_lam, c, u, dy = (a.astype(np.result_type(a, np.float64)) for a in case.arrays.values())
    y, _, backward = scan.recurrent(log_lam, c, u)
    dlog_lam, dc, du, _ = backward(dy)
    for got, expected in zip(case.reference(), (y, dlog_lam, dc, du), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * abs(expected).max())


def test_shared_gradients_are_summed_over_the_batch():
    case = CASES["W2"]()
    _, _, _, dA, *_ = case.reference()
    alone = []
    for b in range(2):
        one = {n: a if n == "A" else a[b : b + 1] for n, a in case.arrays.items()}
        _, _, back = workloads.selective_scan(*(one[n].astype(float) for n in ("u", "dt", "A", "B", "C")))
        alone.append(back(one["dy"].astype(float))[2])
    np.testing.assert_allclose(dA, sum(alone), atol=1e-12)


def test_the_reference_uses_no_second_body(monkeypatch):
    from minissm import fast

    monkeypatch.setattr(fast, "NUMPY", dict.fromkeys(fast.NUMPY, None))
    before = fast.REFERENCE
    with workloads.plain():
        assert fast.REFERENCE
        assert fast.path("chunked", np.zeros(1)) is None
    assert before is fast.REFERENCE


def test_a_training_case_has_rows_without_a_loss():
    """Or dropping them would be worth nothing."""
    for make in training.CASES[:1]:
        case = make()
        tokens, _, weights = case.arrays.values()
        assert tokens.shape == weights.shape == (64, 26)
        assert 0.2 < weights.mean() < 0.5
        assert abs(case.more["net"].size / 30_000 - 1) < 0.01


def test_the_loss_that_is_compared_is_that_of_the_task():
    case = trained("ssm")
    net, params = case.more["net"], case.more["params"]
    tokens, targets, weights = case.arrays.values()
    loss, _ = losses.cross_entropy(net(params, tokens)[0], targets, weights)
    assert float(training.scored(net, params, case.arrays)[0]) == pytest.approx(float(loss))


def calls(case):
    """Of a floor, as it is run."""
    ((_, run),) = methods.FLOORS[case.workload](case)
    run()
    return run.args[0]


def multiplications(case):
    """Of all products of a floor."""
    products = [c for c in calls(case) if c.func is np.matmul]
    return sum(c.args[0].size * c.args[1].shape[-1] for c in products)


def test_the_floor_of_a_filter_is_its_transforms():
    B, L, D, U = 2, 11, 3, 5
    found = calls(workloads.window(B, L, D, U))
    assert len(found) == 4 * B + 2  # u, y, dy, du; k, dk
    assert [c().shape for c in found[:3]] == [(D, 9), (D, 9), (D, 16)]


@pytest.mark.parametrize("L", [1, 64, 65, 700])
def test_the_floor_of_attention_has_all_scores_that_are_seen(L):
    H, P, Q = 2, 4, floor.COLUMNS
    found = calls(workloads.attend(1, H, L, P))
    exps = sum(c.args[0].size for c in found if c.func is np.exp)
    assert H * L * (L + 1) <= exps <= H * (L + Q) * (L + Q)
    assert multiplications(workloads.attend(1, H, L, P)) >= 7 * H * P * L * (L + 1) / 2
    assert all(np.isfinite(c.args[0]).all() for c in found)


def test_the_floor_of_a_step_is_the_products_of_its_blocks():
    """By hand; two mixers, so that an FNN sees all rows and one sees those alone that have a loss."""
    task, B, L, D, H = copying(2, 5), 5, 10, 6, 2
    net = model_for("ssm(poles=3) + fnn1 + attn + fnn1(width=7)", task, D)
    case = training.case("a", net, task, B, L)
    R, wanted, E, V = B * L, np.count_nonzero(case.arrays["weights"]), 2 * D, task.vocab
    assert wanted < R
    scan, attn = 3 * E * B * L * L, 6 * B * H * L * L * (D // H)
    projections = 3 * R * D * (2 * E + 3 * D + D)
    fnns = 3 * 2 * D * (R * 4 * D + wanted * 7)
    expected = R * V * D + scan + attn + projections + fnns + 3 * wanted * D * V
    assert multiplications(case) == expected
    assert sum(c.args[0].size for c in calls(case) if c.func is np.tanh) == R * 4 * D + wanted * 7


def test_the_floor_of_long_sequences_goes_by_chunks():
    """Three products of a chunk forward and six back, two thirds of them with the 2 N numbers of a state."""
    E, Q, N, B, M = 3, floor_training.CHUNK, 2, 2, 3
    views = [floor.room(E, B * M * Q) for _ in range(4)]
    products = floor_training.chunks(B, M * Q, N, *views)
    count = sum(c.args[0].size * c.args[1].shape[-1] for c in products)
    assert count == B * M * E * (3 * Q * Q + 6 * Q * 2 * N)
    floor.run(products)


def test_floors_write_nothing_that_a_case_holds():
    for case in (CASES[name]() for name in ("W4", "W6", "W7 ssm", "W7 attn")):
        before = {n: a.copy() for n, a in case.arrays.items()}
        calls(case)
        for n, a in case.arrays.items():
            np.testing.assert_array_equal(a, before[n])


def test_steps_go_on_from_the_state_before():
    """Two runs of W5 are one sequence of twice as many steps."""
    case = CASES["W5"]()
    ((_, run),) = ours.step(case)
    run()
    y, h = run()
    log_lam, c, u = case.arrays.values()
    twice = np.concatenate([u, u]).transpose(1, 0, 2)
    expected, h_expected, _ = scan.recurrent(log_lam.astype(complex), c.astype(complex), twice)
    np.testing.assert_allclose(y, expected[:, -1], atol=1e-5)
    np.testing.assert_allclose(h, h_expected, atol=1e-5)


def test_where_the_recurrence_has_a_kernel_steps_are_timed_with_it_and_with_chunks(monkeypatch):
    """As on CuPy; here something that counts stands in for the kernel."""
    calls = []

    def kernel(*inputs):
        calls.append(inputs)
        with plain():
            return scan.recurrent(*inputs)

    case = training.case("small", Model("ssm + fnn1", vocab=11, width=4), copying(2, 3), 2, 6)
    assert [m.name for m in training.ours(case)] == ["train.step"]
    monkeypatch.setattr(fast, "REFERENCE", False)
    monkeypatch.setitem(fast.NUMPY, "recurrent", kernel)
    default, other = training.ours(case)
    assert (default.name, other.name) == ("train.step", "train.step, chunked")
    for m, expected in ((default, 2), (other, 0)):
        calls.clear()
        m.run()
        y, error = errors(m.check(), case.reference())
        assert max(y, error) < 1e-5
        assert len(calls) == expected

"""Models of equal size."""

import pytest

from minissm import Attn, Fnn
from minissm.lab.budget import at_budget, model_for
from minissm.lab.config import MODELS, Config
from minissm.tasks import TASKS, RealTask

SPECS = [
    *MODELS,
    "attn(heads=3)",
    "attn(heads=2) + attn(heads=4)",
    "ssm(poles=3) + fnn2",
    "fnn0",
    "ssm + fnn1(width=9)",
]


@pytest.fixture(params=["copying", "recall", "regression"])
def task(request):
    return TASKS[request.param]()


def is_free(block):
    """An FNN whose hidden width the budget may choose."""
    return isinstance(block, Fnn) and block.depth > 0 and block.width is None


@pytest.mark.parametrize("budget", [30_000, 60_000])
@pytest.mark.parametrize("spec", MODELS)
def test_the_default_models_come_within_two_percent(task, spec, budget):
    net = at_budget(spec, task, budget)
    assert abs(net.size / budget - 1) < (0.02 if spec != "ssm" else 0.05)
    assert net.dtype == "float32"
    assert task.sizes.items() <= vars(net).items()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("budget", [1500, 2001, 9999])
def test_it_is_the_nearest_of_all_that_could_be(task, spec, budget):
    nets = []
    for width in range(1, 120):
        try:
            nets.append(model_for(spec, task, width))
        except ValueError:  # not a multiple of the heads
            continue
    best = min(nets, key=lambda net: abs(net.size - budget))
    if any(is_free(block) for block in model_for(spec, task, 12).blocks):
        best = min(
            (model_for(spec, task, best.width, hidden=h) for h in range(1, 200)), key=lambda net: abs(net.size - budget)
        )
    assert at_budget(spec, task, budget) == best


def test_a_task_of_real_vectors_gives_its_inputs_and_outputs():
    class Vectors(RealTask):
        length, inputs, outputs = 5, 3, 2

    task = Vectors()
    net = at_budget("ssm + fnn1", task, 2000)
    assert (net.vocab, net.inputs, net.outputs) == (None, 3, 2)
    assert abs(net.size / 2000 - 1) < 0.02


def test_only_free_hidden_widths_are_turned(task):
    first, fixed, free, linear = at_budget("ssm + fnn2(width=9) + fnn1(act='relu') + fnn0", task, 9000).blocks
    assert fixed.width == 9
    assert isinstance(free.width, int)
    assert free.act == "relu"
    assert linear == Fnn(0)
    assert first == model_for("ssm", task, 3).blocks[0]


def test_hidden_widths_keep_their_proportion(task):
    net = at_budget("ssm + fnn1(expand=9) + ssm + fnn1(expand=1.5)", task, 9000)
    wide, narrow = (block.width for block in net.blocks[1::2])
    assert narrow == round(wide / 6)
    assert wide / net.width == pytest.approx(9, rel=0.2)
    assert abs(net.size / 9000 - 1) < 0.01


def test_attention_learns_no_more_positions_than_the_task_has_places(task):
    for net in (model_for("attn", task, 4), at_budget("attn", task, 3000)):
        assert net.blocks == (Attn(max_len=task.length),)
    kept = model_for("attn(max_len=99) + attn(positions='none')", task, 4)
    assert kept.blocks == (Attn(max_len=99), Attn(positions="none"))


def test_the_dtype_is_passed_on(task):
    assert at_budget("ssm + fnn1", task, 3000, dtype="float64").dtype == "float64"
    assert Config(task.spec, models=("ssm",), dtype="float64").net("ssm").dtype == "float64"


def test_a_given_width_switches_the_budget_off(task):
    config = Config(task.spec, width=6, budget=99_999)
    assert {config.net(model).width for model in MODELS} == {6}
    assert config.net("ssm + fnn1") == model_for("ssm + fnn1", task, 6)


@pytest.mark.parametrize("spec", ["ssm", "attn(heads=50)", "ssm(poles=1000000)", "fnn9(width=100)"])
def test_a_budget_below_the_smallest_model_is_refused(task, spec):
    with pytest.raises(ValueError, match=r"budget=20; .* give more"):
        at_budget(spec, task, 20)


def test_a_huge_budget_is_met_at_once(task):
    """Doubling and halving; counting up to these widths would take minutes."""
    for spec in MODELS:
        assert abs(at_budget(spec, task, 10**10).size / 10**10 - 1) < 1e-3

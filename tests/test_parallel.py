"""The halves of a batch: cut by shapes alone, each done once, in order."""

import threading

import pytest

from minissm.fast import parallel


@pytest.mark.parametrize(
    ("batch", "numbers", "parts"), [(1, 1 << 30, 1), (7, 1, 1), (7, 1 << 30, 2), (2, parallel.ENOUGH, 2)]
)
def test_a_batch_is_cut_by_its_shape_alone(batch, numbers, parts):
    cut = parallel.halves(batch, numbers)
    assert len(cut) == parts
    assert [i for part in cut for i in range(batch)[part]] == list(range(batch))
    with parallel.threads(1):
        assert parallel.halves(batch, numbers) == cut


@pytest.mark.parametrize("limit", [1, 2, None])
def test_results_come_in_the_order_of_the_parts(limit):
    with parallel.threads(limit):
        assert parallel.each(lambda n: n * n, [3, 2]) == [9, 4]


def test_one_thread_means_this_thread():
    with parallel.threads(1):
        assert set(parallel.each(lambda _: threading.get_ident(), [0, 1])) == {threading.get_ident()}


def test_an_error_in_a_part_comes_out():
    with pytest.raises(ZeroDivisionError):
        parallel.each(lambda n: 1 / n, [1, 0])

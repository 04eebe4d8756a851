"""The filters with which tutorial 2 was measured keep the protocol."""

import runpy
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import minissm as ms
from minissm import spec

PLUGIN = Path(__file__).parent.parent / "tutorials" / "plugins" / "held.py"


@pytest.fixture
def held():
    with patch.dict(spec.BLOCKS), patch.dict(spec._names):
        yield runpy.run_path(str(PLUGIN))


@pytest.mark.parametrize("options", [{}, {"per_dt": True}], ids=str)
def test_the_filters_of_tutorial_2_keep_the_protocol(held, options):
    ms.check_block(held["Held"](**options), width=3)


def test_a_larger_c_begins_with_the_output_of_the_factor_over_dt(held):
    larger, over_dt = held["Held"](poles=3, large_c=True), held["Held"](poles=3, per_dt=True)
    p, q = (filter_.init(np.random.default_rng(0), 5) for filter_ in (larger, over_dt))
    np.testing.assert_allclose(larger(p)[0].c, over_dt(q)[0].c, rtol=1e-12)


def test_without_a_direct_path_the_block_is_the_filter_between_two_linear_maps(held):
    assert not held["HeldAlone"]().init(np.random.default_rng(0), 3)["skip"].any()

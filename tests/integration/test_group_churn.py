"""Thirty real consumers come, leave and die in one group; `tests/run long groups` does it with 200."""
import os
import random
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
import clients                          # noqa: E402
import group_churn                      # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_no_partition_has_two_owners_and_all_have_one_soon(protocol):
    try:
        python = group_churn.python_of(protocol)
    except clients.Missing as e:
        pytest.skip(str(e))
    seed = random.randrange(1 << 30)
    failures, figures = group_churn.run(python, protocol, 30, 2, 20, seed)
    assert not failures, "seed %d: %s; %s" % (seed, failures, figures)

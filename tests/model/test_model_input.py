"""The input of the model as tensors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.model.model_input import assemble


@given(
    prior=arrays.arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE]))
)
def test_the_prior_is_one_hot_with_a_land_channel(prior):
    context = torch.rand(2, 5, 3, 4)
    found = assemble(torch.from_numpy(prior), context, n_classes=3)
    assert found.shape == (2, 9, 3, 4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for b, i, j in np.ndindex(prior.shape):
        k = int(prior[b, i, j])
        assert found[b, :4, i, j].tolist() == [
            float(k == 0),
            float(k == 1),
            float(k == 2),
            float(k != OUTSIDE),
        ]
    assert torch.equal(found[:, 4:], context)

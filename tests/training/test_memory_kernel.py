import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.model.model_input import memory_channels
from luray.training.memory_kernel import fast_memory_channels

K = 3


@given(
    maps=st.integers(1, 9).flatmap(
        lambda n_maps: arrays.arrays(
            np.uint8,
            (2, n_maps, 3, 4),
            elements=st.sampled_from([0, 1, 2, K, UNKNOWN, OUTSIDE]),
        )
    )
)
def test_the_kernel_has_the_bits_of_its_twin(maps):
    maps_BNHW = torch.from_numpy(maps)
    found = fast_memory_channels(maps_BNHW, n_classes=K)
    expected = memory_channels(maps_BNHW, n_classes=K)
    assert torch.equal(found.channels_BMHW, expected.channels_BMHW)
    assert torch.equal(found.last_other_BHW, expected.last_other_BHW)

import pytest
import torch

from luray.engine.precision import BFLOAT16_INSTRUCTIONS, require_bfloat16, trunk_of_precision
from luray.engine.trunk import Trunk
from luray.model.unet import frozen
from tests.model.test_unet import differing_ways, inputs_of
from tests.worlds import random_model

HAS_BFLOAT16 = any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16_INSTRUCTIONS)
needs_bfloat16 = pytest.mark.skipif(
    not HAS_BFLOAT16, reason="not run: this CPU has neither AVX512-BF16 nor AMX"
)


def trunk_and_input(width, depth, size):
    model = frozen(random_model(width=width, depth=depth))
    with torch.inference_mode():
        first = model.down[0][:3](inputs_of(8, size)).contiguous(memory_format=torch.channels_last)
    return Trunk(model), first


@needs_bfloat16
@pytest.mark.parametrize(
    ("width", "depth", "size"), [(4, 2, 12), (16, 3, 64), (32, 3, 64), (16, 2, 100), (8, 1, 40)]
)
def test_bfloat16_bits_ignore_threads_and_batch(width, depth, size):
    trunk, first = trunk_and_input(width, depth, size)
    assert differing_ways(trunk_of_precision(trunk, "bfloat16"), first) == []


@needs_bfloat16
def test_bfloat16_is_near_float32():
    trunk, first = trunk_and_input(16, 3, 64)
    rounded = trunk_of_precision(trunk, "bfloat16")
    with torch.inference_mode():
        expected = trunk(first)
        heads = rounded(first)
    assert heads.dtype == torch.float32
    differences = (heads - expected).abs()
    assert 0 < float(differences.max()) < 0.05 * float(expected.abs().max())
    # The head itself is in float32: its logits have more than the 8 bits of bfloat16.
    assert not torch.equal(heads, heads.bfloat16().float())


def test_float32_is_the_trunk_itself():
    trunk, _ = trunk_and_input(4, 1, 8)
    assert trunk_of_precision(trunk, "float32") is trunk
    assert trunk.dtype == torch.float32


@needs_bfloat16
def test_a_trunk_in_bfloat16_leaves_the_first_alone():
    trunk, first = trunk_and_input(4, 1, 8)
    with torch.inference_mode():
        before = trunk(first)
        trunk_of_precision(trunk, "bfloat16")
        assert torch.equal(trunk(first), before)


@pytest.mark.parametrize("instruction", BFLOAT16_INSTRUCTIONS)
def test_a_cpu_without_bfloat16_is_refused(monkeypatch, instruction):
    """No other CPU is at hand, so what torch says of this one is changed."""
    without = {"cpu_name": "an old CPU", "avx512_f": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: without)
    with pytest.raises(ValueError, match=r"'bfloat16', which needs .* an old CPU has neither"):
        require_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: without | {instruction: True})
    require_bfloat16()

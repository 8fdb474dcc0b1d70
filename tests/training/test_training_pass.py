import pytest
import torch
from torch.nn.functional import cross_entropy

from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.training.training_pass import training_logits

K = 4


def a_model(width, depth):
    torch.manual_seed(0)
    model = UNet(9, K, UNetConfig(width=width, depth=depth)).double()
    torch.nn.init.normal_(model.head.weight)
    return model.to(memory_format=torch.channels_last).train()


def logits_gradients_and_statistics(run, model):
    generator = torch.Generator().manual_seed(1)
    side = 3 * 2**3
    inputs = torch.randn(2, 9, side, side, dtype=torch.float64, generator=generator)
    classes = torch.randint(K, (2, side, side), generator=generator)
    model.zero_grad()
    logits = run(model, inputs.contiguous(memory_format=torch.channels_last))
    cross_entropy(logits, classes).backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    return logits.detach(), gradients, statistics


@pytest.mark.parametrize(("width", "depth"), [(3, 0), (4, 1), (2, 2), (4, 3)])
def test_the_pass_is_the_model_and_its_gradient(width, depth):
    """In double precision, where rounding hides nothing."""
    found = logits_gradients_and_statistics(training_logits, a_model(width, depth))
    expected = logits_gradients_and_statistics(lambda m, x: m(x), a_model(width, depth))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_pass_gives_the_same_bits_again(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first = logits_gradients_and_statistics(training_logits, a_model(4, 2))
        again = logits_gradients_and_statistics(training_logits, a_model(4, 2))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(first, again, rtol=0, atol=0)

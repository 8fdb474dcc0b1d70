import pytest

from luray.core.variable import Variable


def test_categories_are_never_interpolated():
    with pytest.raises(ValueError, match="climate: categories cannot be interpolated"):
        Variable("climate", "forcing", "1", "zone", resampling="bilinear", categories=(1, 2))
    assert Variable("climate", "forcing", "1", "zone", categories=(1, 2, 5)).channels == 3
    assert Variable("elevation", "static", "m", "elevation").channels == 1

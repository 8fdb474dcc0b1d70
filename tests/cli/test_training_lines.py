"""Lines of a training: a line an epoch, under headings."""

from luray.cli.training_lines import training_head, training_line


def test_a_line_stands_under_its_headings():
    metrics = {
        "loss": 0.28,
        "loss_land": 0.25,
        "loss_changed": 1.6,
        "accuracy": 0.92,
        "persistence": 0.94,
        "figure_of_merit": 0.17,
        "predicted_over_observed": 1.1,
        "learning_rate": 0.0039,
        "samples_per_second": 20.1,
    }
    held_out = {
        "accuracy": 0.951,
        "persistence": 0.949,
        "figure_of_merit": 0.142,
        "predicted_over_observed": 0.31,
    }
    head = training_head(metrics)
    line = training_line(metrics, held_out, epoch=3, step=750, seconds_left=425)
    assert len(head) == len(line) <= 140
    for name, text in (
        ("epoch", "3"),
        ("loss", "0.2800"),
        ("on change", "1.6000"),
        ("held out", "0.9510"),
        ("samples/s", "20.1"),
        ("left", "7:05"),
    ):
        end = head.index(name) + len(name)
        assert line[:end].split()[-1] == text, name
    assert training_line(metrics, {}, epoch=1, step=9, seconds_left=0).split().count("-") == 4


def test_a_line_of_values_stands_under_its_headings():
    metrics = {
        "loss": -2.1,
        "bias": 0.01,
        "rmse": 0.412,
        "persistence_rmse": 0.733,
        "within_1_spread": 0.69,
        "learning_rate": 0.0039,
        "samples_per_second": 20.1,
    }
    head = training_head(metrics)
    line = training_line(metrics, {}, epoch=3, step=750, seconds_left=425)
    assert len(head) == len(line) <= 140
    for name, text in (
        ("loss", "-2.1000"),
        ("RMSE", "0.4120"),
        ("null", "0.7330"),
        ("left", "7:05"),
    ):
        end = head.index(name) + len(name)
        assert line[:end].split()[-1] == text, name
    assert line.split().count("-") == 4

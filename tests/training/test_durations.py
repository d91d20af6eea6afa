import pytest

from pipeline.training.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.0412, "41.2 ms"),
        (0.9996, "1 s"),
        (3.04, "3.04 s"),
        (9.996, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (4800, "1 h 20 min"),
        (7199, "2 h"),
        (90_000, "1 day 1 h"),
        (2.5 * 86_400, "2 days 12 h"),
        (40_000_000, "462 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

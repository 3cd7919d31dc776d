"""Numbers with their units, as they are printed."""

import pytest

from jaxgossip.core import units


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (units.bytes_text, 0, "0 B"),
        (units.bytes_text, 999, "999 B"),
        (units.bytes_text, 999_900, "1 MB"),
        (units.bytes_text, 1.5e9, "1.5 GB"),
        (units.bytes_text, None, "–"),
        (units.count_text, 8280, "8,280"),
        (units.count_text, 4_140_000, "4.14 million"),
        (units.duration, 0.423, "0.42 s"),
        (units.duration, 59.96, "1 min 00 s"),
        (units.duration, 185, "3 min 05 s"),
        (units.duration, 7620, "2 h 07 min"),
        (units.scientific, 3.21e-7, "3.2e-07"),
        (units.scientific, 0.0142, "0.0142"),
        (units.scientific, 0, "0"),
    ],
)
def test_numbers_are_told_for_people(function, value, text):
    assert function(value) == text

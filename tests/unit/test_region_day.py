"""The benchmark's table, of figures as its processes give them."""

import runpy
from pathlib import Path
from typing import Any

import pytest

FIGURES: dict[str, Any] = {
    "seconds": [2.0],
    "processor": [1.0],
    "peak": 3.0,
    "parts": {"read and gather": 1.0, "rows": 1.0},
    "means": {},
}


TABLE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/region_day.py"))


def test_who_is_measured_alone_has_no_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    TABLE["_print_row"]("world", "rasterstats", FIGURES, None)
    TABLE["_print_row"]("world", "ours", FIGURES, FIGURES)

    assert capsys.readouterr().out.splitlines() == [
        "| world | rasterstats | 2.00 | 2.00 to 2.00 |  | 1.00 |  | 3 |",
        "| world | ours | 2.00 | 2.00 to 2.00 | 1.00 | 1.00 | 1.00 | 3 |",
    ]


def test_without_the_decoding_its_limit_is_left_empty() -> None:
    assert TABLE["_split"]("world", {"ours": FIGURES}).endswith("|  |")
    assert TABLE["_split"]("world", {"ours": FIGURES, "decode, all threads": FIGURES}).endswith("| 200% |")

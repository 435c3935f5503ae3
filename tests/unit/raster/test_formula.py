import numpy as np
import pytest
from satcommon.raster.formula import FormulaError, compiled

BANDS = ("N", "R")


def test_a_formula_is_computed_in_the_order_of_its_text() -> None:
    found = compiled("g*(N-R)/(N+6.0*R-3)", {"g": 2.5}, BANDS)({"N": np.array([0.4]), "R": np.array([0.1])})

    assert found.tolist() == [2.5 * (0.4 - 0.1) / (0.4 + 6.0 * 0.1 - 3)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("N**2", 0.3 * 0.3),
        ("N**3.0", 0.3 * 0.3 * 0.3),
        ("N**e", (0.3 * 0.3) ** 2),
        ("N**(1/2)", 0.3**0.5),
        ("-N", -0.3),
    ],
)
def test_whole_powers_are_products_and_a_half_is_the_square_root(text: str, value: float) -> None:
    assert compiled(text, {"e": 4.0}, BANDS)({"N": np.array([0.3])}).tolist() == [value]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "N.dtype",
        "abs(N)",
        "N[0]",
        "N if R else N",
        "N < R",
        "N // R",
        "N and R",
        "(lambda: N)()",
        "S1 + N",
        "True * N",
        "'1' * N",
        "N**(1/3)",
        "N**R",
        "2**N",
        "1 + 1",
        "N +",
        "",
    ],
)
def test_anything_but_arithmetic_of_bands_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        compiled(text, {}, BANDS)

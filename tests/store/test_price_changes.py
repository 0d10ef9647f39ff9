"""Changes of the price table: which prices are the same one, and what a change costs the daemon."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from aigw.store import price_changes
from aigw.store.database import open_for_writing
from aigw.store.price_changes import import_prices, list_prices, set_price, unset_price
from aigw.store.prices import PriceSource, StoredPrice
from tests.store.rows import NOON


def price(model: str, rate: int, source: PriceSource = PriceSource.SET) -> StoredPrice:
    return StoredPrice(provider="", model=model, input_price=rate, source=source, updated_at=NOON)


@pytest.mark.parametrize(
    ("first", "second"), [("GPT-5", "gpt-5"), ("Modèle-É", "MODÈLE-é"), ("STRASSE", "straße")]
)
def test_upper_and_lower_case_are_one_price_in_any_script(
    first: str, second: str, tmp_path: Path
) -> None:
    path = tmp_path / "aigw.db"
    assert set_price(path, price(first, 1)) is None
    before = set_price(path, price(second, 2))
    assert before is not None
    assert before.model == first
    assert [(p.model, p.input_price) for p in list_prices(path)] == [(second, 2)]
    unset_price(path, "", first)
    assert list_prices(path) == []


def test_an_import_replaces_an_imported_price_of_another_case(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    import_prices(path, [price("É-1", 1, PriceSource.IMPORT), price("x", 1, PriceSource.IMPORT)])
    import_prices(path, [price("é-1", 2, PriceSource.IMPORT)])
    assert [(p.model, p.input_price) for p in list_prices(path)] == [("x", 1), ("é-1", 2)]


def test_the_work_of_an_import_grows_with_its_prices_and_no_faster(tmp_path: Path) -> None:
    """The daemon cannot write while it runs: a list of twenty thousand models must not take a minute."""

    def steps(count: int) -> int:
        found = 0

        def count_step() -> int:
            nonlocal found
            found += 1
            return 0

        with closing(open_for_writing(tmp_path / f"{count}.db", "normal")) as connection:
            connection.set_progress_handler(count_step, 100)
            prices = [price(f"model-{number}", number) for number in range(count)]
            price_changes._write(connection, prices)
        return found

    # Four times as many: four times the work, and not sixteen times.
    assert steps(2000) < 8 * steps(500)

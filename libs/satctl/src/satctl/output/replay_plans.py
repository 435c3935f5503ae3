"""What a replay of the backlog costs, as `satctl plan` and `satctl reprocess` print it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from satctl.output.tables import print_table

if TYPE_CHECKING:
    from satcommon.pipeline.backlog import Plan


def print_plans(plans: Sequence[Plan], *, wide: bool) -> None:
    """Write the plans of regions to stdout, one line each."""
    columns = ("region", "to redo", "waiting", "to withdraw", "fields", "first day", "last day", "steps", "scenes")
    print_table(
        (*columns, "days rewritten", "steps of the whole region"),
        [
            (
                p.region,
                _causes(p.missed),
                _causes(p.waiting),
                p.withdrawals,
                p.fields,
                p.first_day,
                p.last_day,
                p.steps_at_most,
                p.scenes_at_most,
                p.days_at_most,
                p.steps_of_all,
            )
            for p in plans
        ],
        spare=("steps of the whole region", "scenes", "fields", "days rewritten", "steps"),
        wide=wide,
    )


def _causes(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} {cause}" for cause, count in sorted(counts.items())) or None

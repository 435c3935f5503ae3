from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from satcommon import results
from satcommon.scenes.source import Acquisition


@given(time=st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_a_time_of_sensing_is_as_fine_as_the_rows_that_keep_it(time: datetime) -> None:
    sensed_at = Acquisition("a", "d", "sentinel-2", "pass", "", "", time, time).sensed_at

    assert pa.scalar(sensed_at, results.SCHEMA.field("sensed_at").type).as_py() == sensed_at
    assert abs(sensed_at - time) <= timedelta(microseconds=500)
    assert Acquisition("a", "d", "sentinel-2", "pass", "", "", sensed_at, time).sensed_at == sensed_at

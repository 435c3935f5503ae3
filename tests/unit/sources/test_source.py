from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from satcommon.raster.scene import Acquisition
from satcommon.stats import result_rows


@given(microseconds=st.integers(0, 10**15))
def test_a_time_of_sensing_is_as_fine_as_the_rows_that_keep_it(microseconds: int) -> None:
    time = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)

    sensed_at = Acquisition("a", "d", "sentinel-2", "pass", "", "", time, time).sensed_at

    assert pa.scalar(sensed_at, result_rows.SCHEMA.field("sensed_at").type).as_py() == sensed_at
    assert abs(sensed_at - time) <= timedelta(microseconds=500)
    assert Acquisition("a", "d", "sentinel-2", "pass", "", "", sensed_at, time).sensed_at == sensed_at

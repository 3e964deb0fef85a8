"""Warm starts: a job's VM continues from the saved state of an earlier one."""
import pytest

from conftest import need
from fake_runner import bash_script


@pytest.fixture(scope="module")
def warm(place, small_image):
    return small_image


def test_the_second_job_continues(place, warm):
    runner = place.runner('warm = "auto"\n')
    for number in range(3):
        with runner.job(job_id=7100 + number, image=warm) as job:
            assert job.prepare(), job.result.text
            print(job.result.text)
            print(job.run_script(bash_script("hostname; date; date +%s.%N; head -c 8 /dev/urandom | od -An -tx1")).stdout.decode())
    place.assert_nothing_left()

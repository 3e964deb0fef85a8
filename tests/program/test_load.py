"""As many jobs at once as the machine carries, on one image that is not there yet: all end well, and it is fetched once."""
import os
import random
import re
import threading
import time

from fake_runner import bash_script
from standin import Standin, held_locks, temporary_files, wrong_blobs

JOBS = int(os.environ.get("SARDE_LOAD_JOBS", "24"))
GUESTS = int(os.environ.get("SARDE_LOAD_GUESTS", "6"))


def gets(registry_log, digest):
    """How often the registry handed out the blob: from its access log."""
    return len(re.findall(rf'"GET [^" ]*/blobs/{digest} HTTP[^"]*" 200 ', registry_log))


def all_at_once(jobs, script):
    """Runs the jobs, each in a thread; how long the slowest took."""
    def run(job):
        if job.prepare():
            job.run_script(bash_script(f"{script}\necho job {job.id} was here"))
        job.cleanup()

    start = time.monotonic()
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        assert job.result.verdict == "success" and f"job {job.id} was here" in job.result.text, job.result.text
        assert len([stage for stage in job.result.stages if stage.name == "prepare"]) == 1, job.result.text
        # (an assertion of the harness, in a thread, would be seen by nobody)
        assert job.result.stage("cleanup").code == 0, job.result.stage("cleanup").stderr
    return time.monotonic() - start


def test_many_jobs_want_an_image_that_is_not_there(place, tmp_path):
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(1), "wanted", [8192, 3072, 512], chained=True)
    log = place.folder / "registry/log"
    before = log.read_text()
    jobs = [standin.runner().job(job_id=7000 + i, image=reference, retry_pause=0.1) for i in range(JOBS)]
    seconds = all_at_once(jobs, "sleep 0.2")
    got = log.read_text()[len(before):]
    counts = {digest: gets(got, digest) for digest in standin.layers(reference)}
    assert set(counts.values()) == {1}, counts
    standin.run("gc")
    assert standin.violations() == []
    print(f"\nload: {JOBS} jobs at once on the stand-in hypervisor: {seconds:.1f} s; {len(counts)} blobs, each fetched once")


def test_many_guests_want_an_image_that_is_not_there(place, small_image, tmp_path):
    env = place.store(tmp_path)
    log = place.folder / "registry/log"
    before = log.read_text()
    runner = place.runner(**env)
    jobs = [runner.job(job_id=7100 + i, image=small_image) for i in range(GUESTS)]
    seconds = all_at_once(jobs, "cat /proc/uptime")
    got = log.read_text()[len(before):]
    fetched = set(re.findall(r'"GET [^" ]*/blobs/(sha256:[0-9a-f]{64}) HTTP[^"]*" 200 ', got))
    counts = {digest: gets(got, digest) for digest in fetched}
    assert fetched and set(counts.values()) == {1}, counts
    place.assert_nothing_left()
    assert temporary_files(tmp_path) + held_locks(tmp_path) + wrong_blobs(tmp_path / "oci") + list((tmp_path / "jobs").iterdir()) == []
    print(f"\nload: {GUESTS} real guests at once: {seconds:.1f} s; {len(counts)} blobs, each fetched once")

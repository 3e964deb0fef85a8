"""A host with room for few VMs: the other jobs wait for their turn, and nothing stays reserved."""
import os
import signal
import threading
import time

from fake_runner import bash_script

MIB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
FOR_THREE = f'memory = "{(MIB - max(1024, MIB // 10)) * 2 // 7 - 128}MiB"\npull-policy = "never"\n'


class Ledger:
    """When each job's reservation was first seen, and how many there were at most."""

    def __init__(self, jobs):
        self.jobs, self.seen, self.most, self.ended = jobs, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.02):
            now = sorted(int(path.parent.name.split("-")[1]) for path in self.jobs.glob("sarde-*/reservation"))
            self.most = max(self.most, len(now))
            self.seen += [job for job in now if job not in self.seen]

    def end(self):
        self.ended.set()
        self.thread.join()


def waiting(place):
    return [path.parent.name for path in place.jobs.glob("sarde-*/ticket")]


def prepared_and_run(job):
    if job.prepare():
        job.run_script(bash_script("echo was here"))
    job.cleanup()


def start_in_order(place, jobs, work):
    """Each has its place in the queue before the next comes."""
    threads = []
    for number, job in enumerate(jobs):
        threads.append(threading.Thread(target=work, args=(job,)))
        threads[-1].start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not [path for path in place.jobs.glob(f"sarde-{job.id}-*/*") if path.name in ("ticket", "reservation", "record.json")]:
            if not threads[-1].is_alive():
                break
            time.sleep(0.02)
    return threads


def test_ten_jobs_with_room_for_three(place, small_image):
    place.run("fetch", small_image)
    jobs = [place.runner(FOR_THREE).job(job_id=640 + i, image=small_image) for i in range(10)]
    ledger = Ledger(place.jobs)
    threads = start_in_order(place, jobs, prepared_and_run)
    for thread in threads:
        thread.join()
    ledger.end()
    for job in jobs:
        assert job.result.verdict == "success" and "was here" in job.result.text, job.result.text
        assert len([stage for stage in job.result.stages if stage.name == "prepare"]) == 1, job.result.text
    assert ledger.most == 3
    assert ledger.seen == sorted(ledger.seen), "they did not come in their order"
    waited = [job for job in jobs if "Waiting for room on this host: " in job.result.text]
    assert len(waited) >= 4 and all("There is room on this host" in job.result.text for job in waited)
    place.assert_nothing_left()


def test_killed_jobs_hold_no_room(place, small_image):
    """With room for one: of six jobs the first is killed with its VM, the third while it waits; the others take their turns."""
    place.run("fetch", small_image)
    runner = place.runner('max-vms = 1\npull-policy = "never"\n')
    doomed = [runner.job(job_id=660, image=small_image), runner.job(job_id=662, image=small_image)]
    others = [runner.job(job_id=number, image=small_image) for number in (661, 663, 664)]
    for job in (doomed[0], others[0], doomed[1], others[1], others[2]):
        job.config()
    first = doomed[0].start("prepare")
    while not list(place.jobs.glob("sarde-660-*/vm-started")):
        time.sleep(0.05)
    threads = start_in_order(place, others[:1], prepared_and_run)
    third = doomed[1].start("prepare")
    while len(waiting(place)) < 2:
        time.sleep(0.05)
    threads += start_in_order(place, others[1:], prepared_and_run)
    for stage in (third, first):
        os.killpg(stage.process.pid, signal.SIGKILL)
        stage.process.wait()
    for thread in threads:
        thread.join()
    for job in others:
        assert job.result.verdict == "success" and "was here" in job.result.text, job.result.text
    for job in doomed:
        job.cleanup()
    place.assert_nothing_left()


def test_who_waits_too_long_is_told_what_for(place, small_image):
    place.run("fetch", small_image)
    with place.runner('max-vms = 1\npull-policy = "never"\n').job(job_id=670, image=small_image) as job:
        assert job.prepare(), job.result.text
        runner = place.runner('max-vms = 1\nadmission-timeout = 2\npull-policy = "never"\n')
        with runner.job(job_id=671, image=small_image) as late:
            late.config()
            result = late.call("prepare")
            assert result.code == 2
            assert "wait for room on this host: after 2.0 s (admission-timeout), 1 VM(s) are running, and max-vms is 1" in result.stderr.decode()
    huge = f'memory = "{MIB * 95 // 100}MiB"\npull-policy = "never"\n'
    with place.runner(huge).job(job_id=672, image=small_image) as job:
        result = job.call("prepare")
        assert result.code == 1 and "that this host has for VMs (memory, memory-overcommit)" in result.stderr.decode()
    with place.runner(huge + "memory-overcommit = 1.5\n").job(job_id=673, image=small_image) as job:
        assert job.prepare(), job.result.text
    place.assert_nothing_left()

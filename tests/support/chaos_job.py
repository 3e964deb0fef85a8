#!/usr/bin/python3
"""One job of the chaos test. As a program it is a runner in a process of its own, which can be killed: it reads the job from
its standard input and writes a line of JSON for every stage that it starts, and one for the end."""
import json
import sys

from fake_runner import FakeRunner, Job, bash_script


class WatchedJob(Job):
    """A job that tells `started(job, stage)` of each of its stages."""

    def __init__(self, *arguments, started, **values):
        self.started = started
        super().__init__(*arguments, cleanup_may_fail=True, **values)

    def start(self, name, *arguments, **options):
        stage = super().start(name, *arguments, **options)
        self.started(self, stage)
        return stage


def marker(job):
    return f"job {job.id} was here"


def drive(job, seconds):
    """As gitlab-runner does: two scripts, of which the second takes some time, and cleanup in any case."""
    if job.prepare():
        job.run_script(bash_script("echo Running on $(hostname)"), "prepare_script")
        if job.result.verdict == "success":
            job.run_script(bash_script(f"sleep {seconds}\necho {marker(job)}"), "build_script")
    job.cleanup()
    return job.result


def main():
    order = json.load(sys.stdin)

    def tell(**values):
        print(json.dumps(values), flush=True)

    def started(job, stage):
        tell(stage=stage.name, pid=stage.process.pid, vm=job.settings.get("hostname"))

    runner = FakeRunner(order["program"], order["environment"])
    with WatchedJob(runner, job_id=order["id"], image=order["image"], retry_pause=order["pause"], started=started) as job:
        result = drive(job, order["seconds"])
        tell(verdict=result.verdict, log=result.text)


if __name__ == "__main__":
    main()

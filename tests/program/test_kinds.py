"""The kinds of job that were run with the real gitlab-runner (17.9), and the status that it must report for each. Two run at a time."""
import concurrent.futures
import time

import pytest

from fake_runner import bash_script


def whole(script, after_script=None):
    """A job that nobody interferes with."""
    return lambda job: job.run(script, after_script)


def interrupted(hard):
    """A job that is cancelled, or has run out of time: the runner ends the stage's process, TERM first; later, KILL. Its status is the
    runner's own then, and cleanup is called all the same."""
    def run(job):
        assert job.prepare(), job.result.text
        stage = job.start_script(bash_script("echo started; sleep 600"))
        while b"started" not in stage.out and time.monotonic() - stage.started < 60:
            time.sleep(0.1)
        if hard:
            stage.process.kill()
        else:
            stage.terminate()
        job.finish_script(stage, 30)
        if not hard:
            job.run_script(bash_script("echo after the end"), "after_script")
        job.cleanup()
        return job.result
    return run


ARTIFACTS = "if ! command -v gitlab-runner >/dev/null; then echo 'Missing gitlab-runner. Uploading artifacts is disabled.'; fi"
CLONE = "git init -q --bare /tmp/origin; git clone -q file:///tmp/origin copy 2>&1; cd copy; git -c user.name=n -c user.email=e commit -q --allow-empty -m one; git push -q; git ls-remote /tmp/origin"

#         kind                    how it runs                                        verdict           code  what the log says
KINDS = {
    "success":                   (whole("echo fine"),                                "success",        None, "fine"),
    "exit code":                 (whole("exit 42", "echo after"),                    "build_failure",  42,   "after"),
    "cancelled":                 (interrupted(hard=False),                           "system_failure", None, "after the end"),
    "cancelled, killed":         (interrupted(hard=True),                            "system_failure", None, "started"),
    "timeout":                   (interrupted(hard=False),                           "system_failure", None, "the VM was kept"),
    "missing image":             (whole("echo never"),                               "build_failure",  None, "no such image or tag"),
    "power-off in mid-script":   (whole("sudo poweroff -f; sleep 60"),               "system_failure", None, "the VM is gone"),
    "background process":        (whole("sleep 600 & echo done"),                    "success",        None, "done"),
    "services":                  (whole("echo alone"),                               "success",        None, "services"),
    "big output":                (whole("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end"), "success", None, "the end"),
    "git clone":                 (whole(CLONE),                                      "success",        None, "refs/heads/"),
    "artifacts":                 (whole(ARTIFACTS),                                  "success",        None, "Uploading artifacts is disabled"),
}


@pytest.fixture(scope="module")
def results(place, small_image):
    def one(number):
        kind = list(KINDS)[number]
        image = f"{place.registry}/vms/small:none" if kind == "missing image" else small_image
        response = {"services": [{"name": "postgres:16"}]} if kind == "services" else {}
        with place.runner().job(job_id=2000 + number, image=image, response=response, cleanup_may_fail=True) as job:
            return KINDS[kind][0](job)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield dict(zip(KINDS, pool.map(one, range(len(KINDS)))))
    place.assert_nothing_left()


@pytest.mark.parametrize("kind", KINDS)
def test_the_status_that_the_runner_reports(results, kind):
    _, verdict, code, said = KINDS[kind]
    result = results[kind]
    assert (result.verdict, said in result.text) == (verdict, True), result.text[-3000:]
    assert code is None or result.exit_code == code
    assert [stage.name for stage in result.stages if stage.name == "prepare"] == ["prepare"]

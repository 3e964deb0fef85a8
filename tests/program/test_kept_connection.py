"""The connection that a companion process keeps from stage to stage, and what happens without it."""
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from fake_runner import bash_script


def keepers(place):
    found = subprocess.run(["pgrep", "-f", f"^sarde-door-keeper {place.jobs}"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def logins(place, job):
    """That the guest's SSH server has seen (Dropbear says so on the console)."""
    return place.run("logs", str(job.id)).stdout.count("auth succeeded for 'runner'")


@pytest.fixture
def job(place, small_image):
    with place.runner("verbosity = 2\n").job(job_id=7800, image=small_image) as job:
        assert job.prepare(), job.result.text
        yield job
    place.assert_nothing_left()
    assert keepers(place) == []


def test_stages_share_one_login(place, job):
    for number in range(4):
        result = job.run_script(bash_script(f"echo out {number}; echo err {number} >&2; id -un"))
        assert result.code == 0 and result.stdout == f"out {number}\nrunner\n".encode() and f"err {number}\n".encode() in result.stderr
        assert b"tried to log in" not in result.stderr
    assert logins(place, job) == 2  # prepare's, and the one that is kept
    (pid,) = keepers(place)
    environment = open(f"/proc/{pid}/environ", "rb").read()
    assert b"CUSTOM_ENV" not in environment and b"JOB_RESPONSE_FILE" not in environment and b"CI_" not in environment
    assert os.stat(next(place.jobs.glob("*/door.sock"))).st_mode & 0o777 == 0o600
    assert os.getsid(pid) != os.getsid(0) and set(os.listdir(f"/proc/{pid}/fd")) >= {"0", "1", "2", "3"}
    assert all(os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null" for fd in "012")
    assert job.run_script(bash_script("exit 5")).code == 1
    big = "x" * 3_000_000
    assert job.run_script(bash_script(f": {big}; wc -c <$0 >/dev/null; head -c 5000000 /dev/zero")).stdout == bytes(5_000_000)


def test_without_it_each_stage_logs_in(place, small_image):
    with place.runner("keep-connection = false\n").job(job_id=7801, image=small_image) as job:
        assert job.prepare(), job.result.text
        assert keepers(place) == []
        for _ in range(2):
            assert job.run_script(bash_script("echo it runs")).stdout == b"it runs\n"
        assert logins(place, job) == 3
    place.assert_nothing_left()


def test_a_stage_connects_itself_if_it_has_died(place, job):
    assert job.run_script(bash_script("true")).code == 0
    (pid,) = keepers(place)
    os.kill(pid, signal.SIGKILL)
    result = job.run_script(bash_script("echo it runs"))
    assert result.code == 0 and result.stdout == b"it runs\n" and b"tried to log in" in result.stderr


def test_a_stage_connects_itself_if_it_hangs(place, job):
    (pid,) = keepers(place)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    result = job.run_script(bash_script("echo it runs"))
    assert result.code == 0 and result.stdout == b"it runs\n" and time.monotonic() - began < 20
    os.kill(pid, signal.SIGCONT)
    assert job.run_script(bash_script("echo again")).stdout == b"again\n"


def test_a_guest_that_has_rebooted_is_connected_anew(place, job):
    job.run_script(bash_script("(sleep 1; sudo reboot -f) >/dev/null 2>&1 &"))
    time.sleep(2)
    result = job.run_script(bash_script("cut -d. -f1 /proc/uptime"))
    assert result.code == 0 and int(result.stdout) < 60, result.stderr


def test_a_script_whose_connection_is_lost_fails(place, job):
    began = time.monotonic()

    def lose():
        time.sleep(2)
        (pid,) = keepers(place)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=lose)
    thread.start()
    done = job.run_script(bash_script("sleep 30"))
    thread.join()
    assert done.verdict == "system_failure" and b"the connection to the VM was lost" in done.stderr and time.monotonic() - began < 15


def test_nobody_else_gets_in_by_it(place, job):
    """What is no request is no script, and does no harm."""
    path = str(next(place.jobs.glob("*/door.sock")))
    for text in (b"", b"{}", b"[]", b"stop", b"x" * 70000, b'{"shell":1}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(10)
            client.connect(path)
            assert client.recv(100) == b"ready"
            try:
                client.send(text)
            except OSError:
                pass
    assert job.run_script(bash_script("echo it runs")).stdout == b"it runs\n"
    assert len(keepers(place)) == 1


def test_a_stop_is_always_answered(place, job):
    """However soon after the script's beginning it comes, the stage tells what became of the script."""
    for number in range(6):
        stage = job.start_script(bash_script("echo begun; sleep 100"))
        while b"begun" not in stage.out:
            time.sleep(0.01)
        time.sleep(0.1 * number)
        stage.terminate()
        result = stage.wait(60)
        assert result.code == 2 and b"Stopped by a signal: the script's processes in the VM were ended" in result.stderr, result.stderr
    assert job.run_script(bash_script("pgrep -x sleep || echo none")).stdout == b"none\n"

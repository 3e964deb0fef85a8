"""Seeing what happens: which jobs run, their consoles, the way into their VMs, VMs that are kept after a failure, the log's sections."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from conftest import need
from fake_runner import bash_script


@pytest.fixture(scope="module")
def running(place, small_image):
    with place.runner('job-settable = ["keep-on-failure"]\n').job(job_id=700, image=small_image, response={"job_info": {"name": "compile \x1b[31m", "project_id": 7, "project_name": "demo"}}) as job:
        assert job.prepare(), job.result.text
        yield job


def jobs_of(place):
    return json.loads(place.run("jobs", "--json").stdout)


def test_jobs_are_listed(place, running):
    listed, = jobs_of(place)
    assert (listed["id"], listed["vm"], listed["project"], listed["state"]) == ("700", running.settings["hostname"], "demo", "ready")
    assert listed["image"].endswith("/vms/small") and listed["memory"] > 0 and re.fullmatch(r"127\.0\.0\.1 port \d+", listed["address"])
    assert abs(listed["since"] - time.time()) < 300
    text = place.run("jobs").stdout
    assert "JOB  STATE  SINCE" in text and "compile" in text and "\x1b" not in text
    script = running.start_script(bash_script("sleep 3"), "build_script")
    deadline = time.monotonic() + 20
    while jobs_of(place)[0]["state"] != "build_script":
        assert time.monotonic() < deadline
    assert running.finish_script(script).code == 0
    assert jobs_of(place)[0]["state"] == "ready"


def test_ssh_leads_into_the_vm_of_a_job(place, running):
    need(shutil.which("ssh"), "OpenSSH's client is not installed")
    assert place.run("ssh", "700", "hostname; id -un").stdout.splitlines()[-1] == "runner"
    assert place.run("ssh", running.settings["hostname"], "--", "printf", "%s-", "a b", "c'd").stdout == "a b-c'd-"
    assert place.run("ssh", "700", "exit 37", check=False).returncode == 37
    assert place.run("ssh", "700", "cat", input="through").stdout == "through"
    missing = place.run("ssh", "701", check=False)
    assert missing.returncode == 1 and "there is no job '701' on this host; 'sarde-executor jobs' lists them" in missing.stderr
    # The password is in no command line, and nothing of it stays.
    with subprocess.Popen([place.program, "ssh", "700", "sleep 2"], env=place.environment) as process:
        time.sleep(1)
        shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        assert "StrictHostKeyChecking=yes" in shown and not re.search(r"ssh .*\bpassword\b.*runner$", shown)
        process.wait()
    assert not [path for path in place.jobs.iterdir() if path.name.startswith(".")]


def at_a_terminal(place, words, answers, insist=b""):
    """Runs it at a terminal; answers are pairs of what to wait for and what to type; in the end, insist is typed again and again.
    All that was shown, and the exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(place.program, [str(place.program), *words], place.environment | {"TERM": "vt100", "SARDE_BOOT_TIMEOUT": "150"})  # what is wrong with a VM is to be shown, too
    shown = b""
    deadline = time.monotonic() + 180
    answers = list(answers)
    while time.monotonic() < deadline:
        if not answers and insist:
            time.sleep(1)
            os.write(terminal, insist)
        if answers and answers[0][0] in shown:
            os.write(terminal, answers.pop(0)[1])
        if terminal in select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_shell_and_the_console_at_a_terminal(place, running):
    need(shutil.which("ssh"), "OpenSSH's client is not installed")
    shown, code = at_a_terminal(place, ["ssh", "700"], [(b"$", b"readlink /proc/self/fd/0; echo in-$((40+2))\n"), (b"in-42", b"exit 5\n")])
    assert b"/dev/pts/" in shown and code == 5, shown
    shown, code = at_a_terminal(place, ["console", "700"], [(b"Escape character", b"\n")], insist=b"\x1d")
    assert b"Connected to domain" in shown and code == 0, shown


def test_what_a_vm_wrote_to_its_console_is_printed(place, running):
    assert "SSH is up" in place.run("logs", "700").stdout
    with subprocess.Popen([place.program, "logs", "-f", "700"], env=place.environment, stdout=subprocess.PIPE, text=True) as process:
        running.run_script(bash_script("echo hello-$((40+2)) $'\\033[31m' | sudo tee /dev/console >/dev/null"))
        deadline = time.monotonic() + 20
        for line in process.stdout:
            assert "\x1b" not in line and time.monotonic() < deadline
            if "hello-42" in line:
                break
        process.terminate()


def test_the_log_has_sections(running):
    text = running.result.text
    for name in ("image", "vm", "guest"):
        start = re.search(rf"\x1b\[0Ksection_start:(\d+):sarde_{name}\r\x1b\[0K\S", text)
        end = re.search(rf"\x1b\[0Ksection_end:(\d+):sarde_{name}\r\x1b\[0K\n", text)
        assert start and end and int(start[1]) <= int(end[1]) and start.start() < end.start(), text


def test_sections_are_for_job_logs_alone(place, small_image):
    by_hand = place.run("prepare", env={"CI_JOB_ID": "703", "CI_JOB_IMAGE": small_image}).stderr
    place.run("cleanup", env={"CI_JOB_ID": "703", "CI_JOB_IMAGE": small_image})
    assert "section_start" not in by_hand


def test_the_vm_of_a_failed_job_is_kept_for_a_while(place, small_image):
    runner = place.runner('keep-on-failure = "20s"\n')
    with runner.job(job_id=704, image=small_image) as job:
        assert job.prepare(), job.result.text
        assert job.run_script(bash_script("echo evidence >/tmp/evidence; exit 3")).code == 1
        assert "The VM will be kept for 20.0 s after the job" in job.result.text and "ssh 704" in job.result.text
    name = job.settings["hostname"]
    kept, = [one for one in jobs_of(place) if one["id"] == "704"]
    assert kept["state"] == "kept" and name in place.domains()
    assert place.run("ssh", "704", "cat /tmp/evidence").stdout == "evidence\n"
    place.run("gc")
    assert name in place.domains(), "it was removed too early"
    time.sleep(22)
    removed = place.run("gc")
    assert f"{name}: it was kept for long enough" in removed.stderr, (removed, jobs_of(place), place.domains())
    assert name not in place.domains()
    with runner.job(job_id=705, image=small_image) as job:
        assert job.prepare() and job.run_script(bash_script("true")).code == 0
    assert [one["id"] for one in jobs_of(place)] in ([], ["700"])


def test_a_job_may_ask_for_it_if_it_is_let(place, small_image):
    with place.runner('job-settable = ["keep-on-failure"]\nmax-keep = "2h"\n').job(job_id=706, image=small_image, variables={"SARDE_KEEP_ON_FAILURE": "52w"}) as job:
        assert job.prepare() and job.run_script(bash_script("exit 1")).code == 1
        assert "kept for 120 min 0 s after the job" in job.result.text or "kept for 2 h" in job.result.text, job.result.text
    assert "kept" in {one["state"] for one in jobs_of(place)}
    subprocess.run(["virsh", "-c", "qemu:///session", "destroy", job.settings["hostname"]], check=True)
    place.run("gc")
    assert "706" not in {one["id"] for one in jobs_of(place)}

"""Guests with OpenSSH's server, whose manners differ from Dropbear's: what is left of a script, how a stop reaches all of it, login shells and
their profiles, and guests that are busy, reboot, or lose their network."""
import time

import pytest

from conftest import need
from fake_runner import bash_script
from test_job import run  # noqa: F401: a fixture, here on this module's job


@pytest.fixture(scope="module")
def openssh(place):
    """The small guest with OpenSSH's server."""
    guest = place.guest.parent / "guest-openssh"
    need((guest / "disk.qcow2").exists(), f"the guest with OpenSSH is not built (tests/guest/build {guest} openssh)")
    return place.publish("openssh", folder=guest)


@pytest.fixture(scope="module")
def job(place, openssh):
    with place.runner().job(job_id=1000, image=openssh) as job:
        assert job.prepare(), job.result.text
        yield job
    place.assert_nothing_left()


def test_a_process_left_behind_that_goes_on_writing_does_not_keep_the_stage(run):
    result = run("(while :; do echo tick; sleep 1; done) &\necho done; exit 3")
    run("pkill -f tick; true")
    assert result.code == 1 and b"done\n" in result.stdout and b"tick" in result.stdout
    assert result.seconds < 12, result.seconds
    flood = run("(while :; do head -c 1000 /dev/zero; done) &\necho done; exit 4")
    run("pkill -x head; pkill -f dev.zero; true")
    assert flood.code == 1 and b"done\n" in flood.stdout and flood.seconds < 14, flood.seconds


def test_the_last_words_after_a_long_silence_are_delivered(run):
    result = run("sleep 5; head -c 300000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert result.code == 0 and len(result.stdout) == 300009 and result.stdout.endswith(b"the end\n"), len(result.stdout)


STOPPED = {
    "ignores TERM": "(trap '' TERM; exec sleep 3001) &\nsleep 3002",
    "removes all of /tmp": "rm -rf /tmp/*\nsleep 3001",
    "a session of its own": "setsid sleep 3001 &\nnohup sleep 3002 >/dev/null 2>&1 &\nsleep 3003",
    "no environment, no parent": "(env -i setsid sleep 3001 >/dev/null 2>&1 </dev/null &) ; sleep 3002",
    "goes on forking": "trap '' TERM; while :; do sleep 3001 & sleep 0.1; done",
    "as root": "sudo sleep 3001 &\nsudo setsid sleep 3002 &\n(trap '' TERM; exec sleep 3003) &\nsleep 3004",
}


def stop(job, script):
    """Runs the script, and stops it 2 s after it has begun: the result, and how long the stop took."""
    stage = job.start_script(bash_script(f"echo started\n{script}"))
    while b"started" not in stage.out and time.monotonic() - stage.started < 30:
        time.sleep(0.1)
    time.sleep(2)
    start = time.monotonic()
    stage.terminate()
    return stage.wait(60), time.monotonic() - start


@pytest.mark.parametrize("what", STOPPED)
def test_a_stop_reaches_every_process_of_the_script(job, run, what):
    result, took = stop(job, STOPPED[what])
    assert result.code == 2 and took < 12, took
    assert b"the script's processes in the VM were ended; the VM was kept" in result.stderr, result.stderr
    left = run("ps | grep -v grep | grep 'sleep 300'; true", stage="after_script").stdout
    assert b"sleep" not in left, left


def test_what_cannot_be_ended_is_named(job, run):
    """A service, as docker's daemon is, that has not been started by the script but works for it."""
    run("(sudo setsid sh -c 'while [ ! -e /home/runner/end ]; do if [ -e /home/runner/order ]; then rm /home/runner/order; sleep 3007 & fi; sleep 0.3; done' >/dev/null 2>&1 </dev/null &); sleep 2")
    try:
        result, _ = stop(job, "touch ~/order; sleep 3008")
        assert b"other processes that have begun since are still there: sleep (" in result.stderr, result.stderr
    finally:
        run("touch ~/end; sleep 1; sudo pkill sleep; rm ~/end; true")


def test_a_server_that_allows_one_channel_only(job, run):
    run("echo 'MaxSessions 1' | sudo tee /etc/ssh/sshd_config.d/one.conf; sudo kill -HUP $(cat /run/sshd.pid)")
    time.sleep(1)
    try:
        result, took = stop(job, "sleep 3001 & sleep 3002")
        assert b"were ended; the VM was kept" in result.stderr and took < 8, result.stderr
        assert b"sleep 300" not in run("ps | grep -v grep | grep 'sleep 300[12]'; true", stage="after_script").stdout
    finally:
        run("sudo rm /etc/ssh/sshd_config.d/one.conf; sudo kill -HUP $(cat /run/sshd.pid)")
        time.sleep(1)


HARMLESS = {"zsh in its place": "exec zsh", "prints": "echo noise; printf half-a-line", "reads stdin": "read line", "goes elsewhere": "cd /", "is strict": "set -eu", "shows what it reads": "i=0; while [ $i -lt 17 ]; do read -r l; echo \"$l\"; i=$((i+1)); done",
            "another bash": "exec bash"}


def with_profile(run, profile, body):
    """The result of a script that this profile comes before; of that script alone, so that later ones can run."""
    run("touch ~/odd; cat >~/.bashrc <<'F'\ncase $BASH_EXECUTION_STRING in *mkdir*) if [ -e ~/odd ]; then rm ~/odd; %s; fi ;; esac\nF" % profile)
    result = run(body)
    assert run("[ ! -e ~/odd ] && rm ~/.bashrc").code == 0
    return result


@pytest.mark.parametrize("what", HARMLESS)
def test_a_profile_that_does_odd_things_disturbs_no_script(run, what):
    result = with_profile(run, HARMLESS[what], "echo mine $BASH_VERSION; exit 9")
    assert result.stdout.startswith(b"mine 5") and result.code == 1, (result.stdout, result.stderr)


@pytest.mark.parametrize("profile,said", [("exec fish", b"fish ~/.config"), ("exec tcsh", b"exec tcsh"), ("cat >/dev/null", b"cat >/dev/null"), ("exit 0", b"bash reads ~/.bashrc")])
def test_a_profile_that_swallows_the_script_is_named(run, profile, said):
    result = with_profile(run, profile, "echo must not run; if true; then echo nor this; fi")
    assert result.code == 2 and b"must not run" not in result.stdout, result.stdout
    assert b"before the script began" in result.stderr and said in result.stderr, result.stderr


@pytest.mark.parametrize("shell", ["/bin/zsh", "/usr/bin/fish", "/bin/tcsh", "/bin/sh"])
def test_other_login_shells(run, shell):
    run(f"sudo sed -i 's#^\\(runner:.*\\):[^:]*$#\\1:{shell}#' /etc/passwd")
    try:
        result = run('echo mine $BASH_VERSION; x="a  b"; echo "$x"; exit 9')
        assert result.stdout.startswith(b"mine 5") and result.stdout.endswith(b"a  b\n") and result.code == 1, (result.stdout, result.stderr)
    finally:
        run("sudo sed -i 's#^\\(runner:.*\\):[^:]*$#\\1:/bin/bash#' /etc/passwd")


def test_a_busy_guest_is_waited_for(run):
    """One whose SSH server takes half a minute to answer."""
    run("(sudo setsid sh -c 'sleep 1; kill -STOP $(cat /run/sshd.pid); sleep 25; kill -CONT $(cat /run/sshd.pid)' >/dev/null 2>&1 </dev/null &)")
    time.sleep(2)
    result = run("echo here", stage="cleanup_file_variables")
    assert result.code == 0 and result.stdout == b"here\n", result.stderr
    assert 15 < result.seconds < 60 and b"still waiting for the SSH server" in result.stderr, (result.seconds, result.stderr)


def test_a_guest_that_reboots_is_back_for_the_next_stage(job, run):
    result = run("sync; sudo reboot -f; sleep 100")
    assert result.code == 2 and b"connection to the VM was lost" in result.stderr, result.stderr
    after = run("cat /proc/uptime", stage="after_script")
    assert after.code == 0 and float(after.stdout.split()[0]) < 60, after.stderr


def test_a_guest_that_loses_its_network_is_noticed(run):
    """The last test of this guest: it does not come back."""
    stage_took = run("echo started; (sleep 1; sudo ip link set eth0 down) & sleep 600")
    assert stage_took.code == 2 and b"connection to the VM was lost" in stage_took.stderr, stage_took.stderr
    assert stage_took.seconds < 17, stage_took.seconds

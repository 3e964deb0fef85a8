"""A job on an image without GitLab: from a bare reference to a shell in its VM in one command."""
import os
import shutil
import signal
import subprocess
import time

from conftest import need
from test_watching import at_a_terminal


def test_a_command_runs_in_the_vm_of_an_image(place, small_image):
    tried = place.run("try", small_image, "--", "sh", "-c", "echo \"$0\"; exit 37", "a b", check=False)
    assert (tried.stdout, tried.returncode) == ("a b\n", 37), tried.stderr
    assert "section_start" not in tried.stderr
    place.assert_nothing_left()


def test_a_script_runs_in_it(place, small_image, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo one; uname -s\nfalse || echo \"$BASH_VERSION\" | cut -c1\n")
    assert place.run("try", "--script", script, "--memory", "300MiB", small_image).stdout.split() == ["one", "Linux", "5"]
    assert place.run("try", small_image, input="echo from stdin\n").stdout == "from stdin\n"
    both = place.run("try", "--script", script, small_image, "true", check=False)
    assert both.returncode == 1 and "a command and --script are both given" in both.stderr
    missing = place.run("try", f"{place.registry}/vms/nosuch", "true", check=False)
    assert missing.returncode == 1 and missing.stderr.count("ERROR: ") == 1
    place.assert_nothing_left()


def test_somebody_at_a_terminal_gets_a_shell(place, small_image):
    need(shutil.which("ssh"), "OpenSSH's client is not installed")
    shown, code = at_a_terminal(place, ["try", small_image], [(b"$ ", b"echo in-$((40+2)); id -un\n"), (b"in-42\r\nrunner\r\n", b"exit 7\n")])
    assert b"in-42\r\nrunner" in shown and code == 7, shown
    place.assert_nothing_left()


def test_a_try_that_is_stopped_or_killed_leaves_nothing(place, small_image):
    for end in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen([place.program, "try", small_image, "sleep 100"], env=place.environment, stderr=subprocess.PIPE)
        while not list(place.jobs.glob("sarde-*/record.json")):
            time.sleep(0.05)
            assert process.poll() is None, process.stderr.read()
        time.sleep(1)
        os.kill(process.pid, end)
        process.wait(30)
        if end == signal.SIGINT:
            place.assert_nothing_left()
    place.run("gc")
    place.assert_nothing_left()

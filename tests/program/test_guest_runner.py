"""gitlab-runner in guests that have none: artifacts and caches work without it being in the image. The binary is a stand-in that
records its calls."""
import shutil
import subprocess

import pytest

from conftest import need
from fake_runner import bash_script

SOURCE = r"""
#include <stdio.h>
int main(int argc, char** argv) {
  FILE* calls = fopen("/tmp/calls", "a");
  for (int i = 1; i < argc; ++i) fprintf(calls, "%s%c", argv[i], i + 1 == argc ? '\n' : ' ');
  fclose(calls);
  puts("recorded");
  return 0;
}
"""


@pytest.fixture(scope="module")
def runners(place):
    """A folder with a stand-in, named as on a host; and one with binaries by architecture."""
    need(shutil.which("gcc"), "gcc is not installed")
    folder = place.folder / "runners"
    folder.mkdir()
    (folder / "main.c").write_text(SOURCE)
    subprocess.run(["gcc", "-static", "-o", folder / "gitlab-runner", folder / "main.c"], check=True)
    # Of the size of the real one.
    with open(folder / "gitlab-runner", "ab") as file:
        file.write(bytes(range(256)) * (90 << 12))
    by_machine = folder / "by-machine"
    by_machine.mkdir()
    shutil.copy(folder / "gitlab-runner", by_machine / "gitlab-runner-linux-amd64")
    return folder


UPLOAD = bash_script("gitlab-runner artifacts-uploader --url x --path 'a b'\ncat /tmp/calls")


def test_the_hosts_gitlab_runner_is_there_for_artifacts(place, small_image, runners):
    runner = place.runner("", SARDE_GUEST_RUNNER="auto", PATH=f"{runners}:{place.environment['PATH']}")
    for number, made in ((680, True), (681, False)):
        with runner.job(job_id=number, image=small_image) as job:
            assert job.prepare(), job.result.text
            assert ("Made a disk with" in job.result.text) == made
            assert "Put gitlab-runner into the VM" in job.result.text and "WARNING" not in job.result.text
            uploaded = job.run_script(UPLOAD, "upload_artifacts_on_success")
            print("phases:", [line for line in job.result.text.splitlines() if "gitlab-runner" in line])
            assert uploaded.stdout == b"recorded\nartifacts-uploader --url x --path a b\n", uploaded
            # (read-only, and nothing of it is the job's)
            assert job.run_script(bash_script("sudo touch /run/gitlab-runner/x")).code != 0
    place.assert_nothing_left()


def test_a_user_who_cannot_mount_gets_it_sent(place, runners):
    folder = place.changed_guest("no-sudo", ["rm /usr/bin/sudo"])
    image = place.publish("no-sudo", folder=folder)
    with place.runner(f'guest-runner = "{runners}/by-machine"\nverbosity = 2\n').job(job_id=682, image=image) as job:
        job.runner.environment.pop("SARDE_GUEST_RUNNER")
        assert job.prepare(), job.result.text
        assert "cannot mount a disk; sending" in job.result.text and "Put gitlab-runner into the VM" in job.result.text, job.result.text
        print("phases:", [line for line in job.result.text.splitlines() if "gitlab-runner" in line])
        assert job.run_script(UPLOAD, "upload_artifacts_on_success").stdout.startswith(b"recorded\n")
    place.assert_nothing_left()


def test_a_guest_that_has_one_keeps_it(place, runners):
    folder = place.changed_guest("has-runner", [f"write {runners}/gitlab-runner /usr/bin/gitlab-runner", "sif /usr/bin/gitlab-runner mode 0100755"])
    image = place.publish("has-runner", folder=folder)
    with place.runner("", SARDE_GUEST_RUNNER=str(runners / "gitlab-runner")).job(job_id=683, image=image) as job:
        assert job.prepare(), job.result.text
        assert "Put gitlab-runner" not in job.result.text
        assert job.run_script(bash_script("command -v gitlab-runner")).stdout == b"/usr/bin/gitlab-runner\n"


def elf_of(machine):
    """The head of a 64-bit little-endian program."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + bytes(100)


@pytest.mark.parametrize("content,sentence", [
    (elf_of(183), "cannot be used in a guest of x86_64: it is a program for aarch64"),
    (elf_of(9999), "it is a program for another machine (ELF machine 9999)"),
    (b"#!/bin/sh\n", "it is not a Linux program (ELF)"),
    (None, "this host has no gitlab-runner in PATH to put there"),
], ids=["aarch64", "unknown machine", "script", "none"])
def test_what_cannot_be_put_there_is_told(place, small_image, tmp_path, content, sentence):
    wanted = tmp_path / "gitlab-runner"
    if content is not None:
        wanted.write_bytes(content)
    with place.runner("", SARDE_GUEST_RUNNER="auto" if content is None else str(wanted)).job(job_id=684, image=small_image) as job:
        assert job.prepare(), job.result.text
        warnings = [line for line in job.result.text.splitlines() if line.startswith("WARNING")]
        assert len(warnings) == 1 and sentence in warnings[0] and "artifacts and caches of this job will not work" in warnings[0], job.result.text
        assert job.run_script(bash_script("echo runs")).stdout == b"runs\n"


def test_a_path_that_is_not_there_is_an_error(place, small_image):
    with place.runner("", SARDE_GUEST_RUNNER="/nonexistent/gitlab-runner").job(job_id=685, image=small_image) as job:
        result = job.call("prepare")
        assert result.code == 2 and "guest-runner: read /nonexistent/gitlab-runner: No such file" in result.stderr.decode()
    place.assert_nothing_left()

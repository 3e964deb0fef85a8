"""Folders of the host in jobs' VMs: what one job of a project writes is there for the next, and not for another project's."""
import os
import subprocess

import pytest

from fake_runner import bash_script


def of_project(number, server="gitlab.example.org"):
    return {"job_info": {"name": "job", "project_id": number, "project_name": "demo"},
            "git_info": {"repo_url": f"https://gitlab-ci-token:secret-{os.getpid()}@{server}/group/demo.git"}}


@pytest.fixture(scope="module")
def shares(place):
    """Whether folders reach guests here: over virtiofs, for a libvirt that runs as root."""
    if os.geteuid() != 0:
        pytest.skip("virtiofs needs a libvirt that runs as root, and the small guest's kernel has no 9p")
    folder = place.folder / "shares"
    folder.mkdir()
    return folder


def run(job, script):
    assert job.prepare(), job.result.text
    result = job.run_script(bash_script(script))
    assert result.code == 0, job.result.text
    return result.stdout.decode()


def test_builds_and_caches_stay_with_their_project(place, small_image, shares):
    config = f'builds-dir = "{shares}/builds"\ncache-dir = "{shares}/cache"\n'
    runner = place.runner(config)
    look = "cat /var/tmp/gitlab-runner/builds/seen /var/tmp/gitlab-runner/cache/seen 2>/dev/null || true"
    with runner.job(job_id=780, image=small_image, response=of_project(7)) as job:
        run(job, "cd /var/tmp/gitlab-runner; id -u; echo built >builds/seen; echo cached >cache/seen; ln -s /etc/shadow cache/link; mkdir -p builds/a/b; touch -d '2020-01-01 00:00:00' builds/a/b/old")
        assert job.settings["builds_dir_is_shared"] is True
    with runner.job(job_id=781, image=small_image, response=of_project(7)) as job:
        assert run(job, look) == "built\ncached\n"
        assert job.run_script(bash_script("stat -c %Y /var/tmp/gitlab-runner/builds/a/b/old")).stdout == b"1577836800\n"
    for other in (of_project(8), of_project(7, "other.example.org")):
        with runner.job(job_id=782, image=small_image, response=other) as job:
            assert run(job, look) == ""
    with place.runner(config + "shared-dirs = true\n").job(job_id=783, image=small_image, response=of_project(7)) as job:
        run(job, "echo of all >/var/tmp/gitlab-runner/cache/seen")
    with place.runner(config + "shared-dirs = true\n").job(job_id=784, image=small_image, response=of_project(8)) as job:
        assert run(job, look) == "of all\n"
    projects = sorted(path.name for path in (shares / "cache").iterdir())
    assert len(projects) == 4 and "all" in projects, projects
    assert (shares / "cache").stat().st_mode & 0o077 == 0, "other accounts of the host may look in"
    # The token is not in any name, and the guest's link was never followed here.
    assert "secret" not in subprocess.run(["find", shares], capture_output=True, text=True).stdout
    place.assert_nothing_left()


def test_a_folder_of_the_administrators(place, small_image, shares, tmp_path):
    """Read-only holds against root in the guest; a symbolic link out of the folder leads nowhere on the host."""
    data, drop = shares / "data", shares / "drop"
    for folder in (data, drop):
        folder.mkdir()
        folder.chmod(0o755)
    (data / "file").write_text("data\n")
    secret = tmp_path / "secret"
    secret.write_text("the host's secret\n")
    (data / "out").symlink_to(secret)
    (data / "up").symlink_to("../../..")
    with place.runner(f'mounts = ["{data}:/data:ro", "{drop}:/srv/drop it"]\n').job(job_id=785, image=small_image) as job:
        script = ("set +e +o pipefail\ncat /data/file\ncat /data/out 2>&1 | grep -c secret\ncat /data/up/*/*/secret 2>/dev/null | grep -c secret\n"
                  "sudo sh -c 'echo x >/data/new' 2>/dev/null && echo WRITTEN\nsudo mount -o remount,rw /data; sudo sh -c 'echo x >/data/file' 2>/dev/null && echo WRITTEN\n"
                  "sudo sh -c 'echo dropped >\"/srv/drop it/here\"; ln -s /etc/passwd \"/srv/drop it/link\"'; true")
        assert run(job, script) == "data\n0\n0\n"
    assert (data / "file").read_text() == "data\n" and sorted(path.name for path in data.iterdir()) == ["file", "out", "up"]
    assert (drop / "here").read_text() == "dropped\n" and os.readlink(drop / "link") == "/etc/passwd"
    # On the host, nothing is mounted any more.
    assert str(shares) not in open("/proc/self/mounts").read()
    place.assert_nothing_left()


@pytest.mark.parametrize("mount,sentence", [("/nonexistent:/x", "there is no folder /nonexistent on this host"), ("relative:/x", "is not HOST:GUEST or HOST:GUEST:ro"),
                                            ("/tmp:/x:rx", "is not HOST:GUEST or HOST:GUEST:ro"), ("/tmp:/x/../etc", "is not HOST:GUEST or HOST:GUEST:ro")])
def test_a_mount_that_cannot_be(place, small_image, mount, sentence):
    with place.runner(f'mounts = ["{mount}"]\n').job(job_id=786, image=small_image) as job:
        result = job.call("prepare")
        assert result.code == 2 and sentence in result.stderr.decode(), result.stderr
    place.assert_nothing_left()


def test_a_job_without_a_project_gets_no_folder(place, small_image, shares):
    tried = place.run("try", small_image, "ls /var/tmp/gitlab-runner 2>/dev/null | wc -l", env={"SARDE_CACHE_DIR": str(shares / "none")})
    assert tried.stdout.strip() == "0" and "belongs to no project" in tried.stderr
    assert not (shares / "none").exists()


def test_a_user_who_cannot_mount_is_told(place, shares):
    folder = place.changed_guest("no-sudo-mount", ["rm /usr/bin/sudo"])
    image = place.publish("no-sudo-mount", folder=folder)
    with place.runner(f'mounts = ["{shares}:/x"]\n').job(job_id=787, image=image) as job:
        result = job.call("prepare")
        assert result.code == 2 and "at /x in the guest: it failed; the guest's kernel needs virtiofs, and the login user must be root or have sudo" in result.stderr.decode(), result.stderr
    place.assert_nothing_left()

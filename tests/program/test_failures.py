"""Everything that can go wrong with a job's image, guest or connection: the right exit code, in time, with one clear sentence,
and nothing left behind. TABLE says which is which; the killed guest and the changed host key, which need a running job, follow."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import need
from fake_runner import bash_script

BUILD, SYSTEM = 1, 2

#        name                       exit code  seconds  what the job log says
TABLE = [
    ("no such image",               BUILD,     5,       "the registry has no such image or tag"),
    ("no such repository",          BUILD,     5,       "the registry has no such"),
    ("not a VM but a container",    BUILD,     5,       "is it a container image"),
    ("a name that is none",         BUILD,     5,       "image name"),
    ("no image at all",             BUILD,     5,       "the job names no image"),
    ("a forbidden pull policy",     BUILD,     5,       "the job wants pull policy 'never'"),
    ("registry down",               SYSTEM,    5,       "nothing answers there"),
    ("host unknown",                SYSTEM,    10,      "the host's name is not known"),
    ("libvirt away",                SYSTEM,    10,      "connect to libvirt at"),
    ("guest that never boots",      SYSTEM,    40,      "wait for the SSH server of VM"),
    ("guest that powers off",       SYSTEM,    40,      "the VM is gone"),
    ("guest without SSH",           SYSTEM,    40,      "wait for the SSH server of VM"),
    ("guest without network",       SYSTEM,    40,      "wait for the SSH server of VM"),
    ("wrong password",              BUILD,     60,      "refuses user 'runner'"),
    ("unknown option in the file",  BUILD,     5,       "there is no option 'nonsense'"),
    ("no room on the disk",         SYSTEM,    30,      "No space left on device"),
]


def container_image(place):
    """A layout as a container's image has it, pushed."""
    folder = place.folder / "container"
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content, kind):
        import hashlib
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    layer = blob(b"x" * 100, "application/vnd.oci.image.layer.v1.tar")
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode(),
                  "application/vnd.oci.image.config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode(), "application/vnd.oci.image.manifest.v1+json")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest | {"annotations": {"org.opencontainers.image.ref.name": "x"}}]}))
    reference = f"{place.registry}/container/busybox:latest"
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{folder}:x", f"docker://{reference}"], check=True)
    return reference


def changed(place, name, commands):
    return lambda: place.publish(name, folder=place.changed_guest(name, commands))


def empty_disk(place):
    folder = place.folder / "guest-empty"
    folder.mkdir()
    (folder / "domain.xml").write_text((place.guest / "domain.xml").read_text())
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "64M"], check=True)
    return place.publish("empty", folder=folder)


def full_disk(place):
    """A file system of 16 MiB for the unpacked images: only where we may mount one."""
    folder = place.folder / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        need(False, "mounting a small file system needs root")
    return folder


def case(place, name, small):
    """(image, configuration, environment, job response) of a row."""
    registry, short = place.registry, "boot-timeout = 15\n"
    rc_local = place.write("poweroff.sh", "#!/bin/sh\npoweroff -f\n")
    image, config, env, response = small, short, {}, {}
    match name:
        case "no such image": image = f"{registry}/vms/small:none"
        case "no such repository": image = f"{registry}/vms/none"
        case "not a VM but a container": image = container_image(place)
        case "a name that is none": image = "Registry/../x y"
        case "no image at all": image = ""
        case "a forbidden pull policy": response = {"image": {"name": small, "pull_policy": ["never"]}}
        case "registry down": image, config = "localhost:1/vms/a", 'insecure-registries = ["localhost:1"]\n'
        case "host unknown": image = "nohost.invalid/vms/a"
        case "libvirt away": env = {"SARDE_CONNECT": "qemu+unix:///session?socket=/nonexistent"}
        case "guest that never boots": image = empty_disk(place)
        case "guest that powers off":
            image = changed(place, "off", [f"write {rc_local} /etc/rc.local", "sif /etc/rc.local mode 0100755"])()
        case "guest without SSH": image = changed(place, "nossh", [f"write /dev/null /etc/no-ssh"])()
        case "guest without network": image = changed(place, "nonet", [f"write /dev/null /etc/no-network"])()
        case "wrong password": config = f'boot-timeout = 50\n[images."{registry}/vms/*"]\npassword = "wrong"\nlogin-grace = 10\n'
        case "unknown option in the file": config = "nonsense = 1\n"
        case "no room on the disk": env = {"SARDE_VMDIR": str(full_disk(place))}
    return image, config, env, response


@pytest.mark.parametrize("name,code,seconds,sentence", TABLE, ids=[row[0] for row in TABLE])
def test_failure_of_prepare(place, small_image, name, code, seconds, sentence):
    image, config, env, response = case(place, name, small_image)
    runner = place.runner(config, **env)
    with runner.job(job_id=100 + [row[0] for row in TABLE].index(name), image=image, response=response, cleanup_may_fail=True) as job:
        start = time.monotonic()
        result = job.call("prepare")
        took = time.monotonic() - start
        text = result.stderr.decode()
        print(text)
        assert result.code == code
        assert took < seconds, f"it took {took:.1f} s"
        errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
        assert len(errors) == 1 and sentence in errors[0], text
        assert job.cleanup().code == (0 if name != "unknown option in the file" else 1)
    if name == "no room on the disk":
        assert not [path for path in (place.folder / "tiny").iterdir() if not path.name.endswith(".lock")]
        subprocess.run(["umount", place.folder / "tiny"], check=True)
    place.assert_nothing_left()


def test_a_system_failure_is_tried_three_times_a_build_failure_once(place):
    down = place.runner('insecure-registries = ["localhost:1"]\n').run_job("true", job_id=140, image="localhost:1/vms/a", retry_pause=0.1)
    assert down.verdict == "system_failure"
    assert [stage.name for stage in down.stages].count("prepare") == 3
    wrong = place.runner().run_job("true", job_id=141, image=f"{place.registry}/vms/none", retry_pause=0.1)
    assert wrong.verdict == "build_failure"
    assert [stage.name for stage in wrong.stages].count("prepare") == 1
    place.assert_nothing_left()


def test_the_end_of_the_console_is_shown(place, small_image):
    image = f"{place.registry}/vms/nossh"
    with place.runner("boot-timeout = 15\npull-policy = \"if-not-present\"\n").job(job_id=142, image=image) as job:
        if job.call("prepare").code == 1:
            need(False, "the row 'guest without SSH' did not run")
        assert "serial console" in job.result.text
        assert "\x1b" not in re.sub(r"\x1b\[0Ksection_(start|end):\d+:sarde_[a-z]+\r\x1b\[0K", "", job.result.text)
    place.assert_nothing_left()


def test_a_guest_that_is_killed_in_mid_script(place, small_image):
    with place.runner().job(job_id=150, image=small_image) as job:
        assert job.prepare(), job.result.text
        stage = job.start_script(bash_script("echo started; sleep 600"))
        while b"started" not in stage.out and time.monotonic() - stage.started < 30:
            time.sleep(0.1)
        start = time.monotonic()
        [pid] = place.qemu_pids()
        os.kill(pid, signal.SIGKILL)
        result = job.finish_script(stage, 60)
        assert result.code == SYSTEM and job.result.verdict == "system_failure"
        assert time.monotonic() - start < 15
        assert b"the VM is gone" in result.stderr
        assert not os.path.exists(job.exit_code_file)
        for name in ("upload_artifacts_on_failure", "cleanup_file_variables"):
            later = job.run_script(bash_script("true"), name)
            assert later.code == SYSTEM and later.seconds < 1, later.seconds
            assert b"the VM is gone" in later.stderr
        assert job.cleanup().code == 0
    place.assert_nothing_left()


def test_cleanup_while_a_script_runs_ends_that(place, small_image):
    with place.runner().job(job_id=151, image=small_image) as job:
        assert job.prepare(), job.result.text
        stage = job.start_script(bash_script("echo started; sleep 600"))
        while b"started" not in stage.out and time.monotonic() - stage.started < 30:
            time.sleep(0.1)
        assert job.cleanup().code == 0
        assert job.finish_script(stage, 30).code == SYSTEM
    place.assert_nothing_left()


def test_a_changed_host_key(place, small_image):
    """As a new login sees it; a connection that was kept is one to the guest that was known."""
    with place.runner("keep-connection = false\n").job(job_id=152, image=small_image) as job:
        assert job.prepare(), job.result.text
        record = place.jobs / job.settings["hostname"] / "record.json"
        changed = json.loads(record.read_text())
        changed["host_key"] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnotherone"
        record.write_text(json.dumps(changed))
        start = time.monotonic()
        result = job.run_script(bash_script("echo must not run"))
        assert result.code == SYSTEM and time.monotonic() - start < 5
        assert b"host key" in result.stderr and b"must not run" not in result.stdout
    place.assert_nothing_left()


def test_prepare_that_is_stopped_takes_down_what_it_built(place, small_image):
    with place.runner().job(job_id=153, image=small_image) as job:
        assert job.config().code == 0
        stage = job.start("prepare")
        while b"Started VM" not in stage.err and time.monotonic() - stage.started < 30:
            time.sleep(0.1)
        stage.terminate()
        assert stage.wait(30).code == SYSTEM
    place.assert_nothing_left()


def test_no_secret_is_shown(place, small_image):
    config = f'[images."{place.registry}/vms/*"]\npassword = "s3cr3t-in-the-file"\n'
    login = {"credentials": [{"type": "registry", "url": place.registry, "username": "u", "password": "s3cr3t-of-the-job"}]}
    with place.runner("boot-timeout = 50\n" + config).job(job_id=154, image=small_image, response=login) as job:
        stage = job.start("prepare")
        seen = ""
        while stage.process.poll() is None:
            seen += subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
            time.sleep(0.3)
        stage.wait()
        for secret in ("s3cr3t-in-the-file", "s3cr3t-of-the-job", job.response["token"]):
            assert secret not in job.result.text
            assert secret not in seen
    place.assert_nothing_left()

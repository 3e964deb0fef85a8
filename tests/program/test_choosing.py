"""Which image a job gets, and when the registry is asked for it."""
import subprocess

import pytest

from fake_runner import bash_script
from test_images import undefined  # noqa: F401: a fixture


def virsh(*arguments):
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", *arguments], check=True, capture_output=True)


def test_a_short_name_and_a_list_of_pull_policies(place, small_image):
    """The default image is an alias; a registry that fails is replaced by the cache; its answer may be good for a while."""
    config = f'default-image = "small"\nmanifest-ttl = 300\npull-policy = ["always", "if-not-present"]\nallow-image = ["{place.registry}/vms/**"]\naliases = {{ small = "{small_image}" }}\n'
    with place.runner(config).job(job_id=600, image="") as job:
        assert job.prepare(), job.result.text
        assert f"image '{small_image}', sha256:" in job.result.text
    # From now on the registry cannot be asked: it speaks no TLS.
    with place.runner(config, SARDE_INSECURE_REGISTRIES="").job(job_id=601, image="small") as job:
        assert job.prepare(), job.result.text
        assert "from the cache (the registry was asked" in job.result.text and "WARNING" not in job.result.text
    config = config.replace("manifest-ttl = 300", "")
    with place.runner(config, SARDE_INSECURE_REGISTRIES="").job(job_id=602, image="small") as job:
        assert job.prepare(), job.result.text
        assert "WARNING: pull policy 'always' failed, trying 'if-not-present'" in job.result.text
        assert "from the cache (pull policy 'if-not-present')" in job.result.text
    place.assert_nothing_left()


@pytest.mark.parametrize("config,sentence", [
    ('allow-image = ["registry.example.org/vms/*"]', "is not allowed on this runner: allow-image lists only 'registry.example.org/vms/*'"),
    ('deny-image = ["**/small"]', "is not allowed on this runner: deny-image lists '**/small'"),
    ('allow-image = ["**"]\ndeny-image = ["docker://*/vms/*"]', "deny-image lists 'docker://*/vms/*'"),
    ('allow-image = ["*"]', "allow-image lists only '*'"),
], ids=["not allowed", "denied", "denied although allowed", "a star ends at a slash"])
def test_an_image_that_the_runner_does_not_allow(place, small_image, config, sentence):
    with place.runner(config + "\n").job(job_id=603, image=small_image, cleanup_may_fail=True) as job:
        result = job.call("prepare")
        text = result.stderr.decode()
        assert result.code == 1 and sentence in text, text
        assert "etched" not in text, "it was fetched before it was refused"
    place.assert_nothing_left()


def test_a_vm_of_this_host_is_an_image(place, small_image, undefined):  # noqa: F811
    """For those who have no registry. An image is made of it when it has changed, never while it runs."""
    place.run("fetch", small_image)
    place.run("import", "-n", "Base-VM_1", small_image)
    disk = next((place.folder / "vms/Base-VM_1").glob("*.qcow2"))
    config = '[images."vm:Base-VM_1"]\nusername = "runner"\npassword = "runner"\n'
    with place.runner(config).job(job_id=610, image="vm:Base-VM_1", cleanup_may_fail=True) as job:
        result = job.call("prepare")
        assert result.code == 1 and b"jobs may use only if allow-image lists it" in result.stderr, result.stderr
    runner = place.runner('allow-image = ["vm:Base*"]\n' + config)
    before = disk.read_bytes()
    for number, made in ((611, True), (612, False)):
        with runner.job(job_id=number, image="vm:Base-VM_1") as job:
            assert job.prepare(), job.result.text
            assert ("Making an image of VM 'Base-VM_1'" in job.result.text) == made, job.result.text
            assert job.run_script(bash_script("echo x >/var/tmp/x; echo in the copy")).stdout == b"in the copy\n"
    assert disk.read_bytes() == before
    virsh("start", "Base-VM_1")
    with runner.job(job_id=613, image="vm:Base-VM_1", cleanup_may_fail=True) as job:
        result = job.call("prepare")
        text = result.stderr.decode()
        assert result.code == 1 and "vm:Base-VM_1: " in text and "running" in text or result.code == 0, text
    virsh("destroy", "Base-VM_1")
    disk.touch()
    with runner.job(job_id=614, image="vm:Base-VM_1") as job:
        assert job.prepare(), job.result.text
        assert "Making an image of VM 'Base-VM_1'" in job.result.text
    with runner.job(job_id=615, image="vm:Base-none", cleanup_may_fail=True) as job:
        result = job.call("prepare")
        assert result.code == 1 and "there is no VM 'Base-none' on this host" in result.stderr.decode(), result.stderr
    listed = place.run("list").stdout
    assert listed.count("localhost/vm/base-vm-1:") == 2, listed
    place.run("rm", *[line.split()[1] for line in listed.splitlines() if "localhost/vm/" in line])
    place.assert_nothing_left()

"""What an administrator or a job may say of the VM's size and devices, seen from inside."""
import os
import subprocess

import pytest

from fake_runner import bash_script


def xml_of(job):
    return subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", job.settings["hostname"]], capture_output=True, text=True, check=True).stdout


def test_a_vm_has_the_size_and_the_disks_that_were_asked_for(place, small_image):
    """Shares of the host, a larger disk, an empty one, a time zone, limits: all in one VM."""
    host_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    jobs = (host_mib - max(1024, host_mib // 10)) // 430
    config = (f'memory = "auto"\ncpus = "auto"\nconcurrency = {jobs}\ndisk-size = "3GiB"\nscratch-disk = "100MiB"\nmax-disk-size = "4GiB"\n'
              'job-settable = ["timezone", "disk-size"]\ndisk-limit = "80MB"\nnested = true\n')
    with place.runner(config).job(job_id=620, image=small_image, variables={"SARDE_TIMEZONE": "UTC-5"}) as job:
        assert job.prepare(), job.result.text
        xml = xml_of(job)
        share = (host_mib - max(1024, host_mib // 10)) // jobs - 128
        assert f"<memory unit='KiB'>{share * 1024}</memory>" in xml and ">1</vcpu>" in xml
        assert xml.count("<total_bytes_sec>80000000</total_bytes_sec>") == 2 and xml.count("<group_name>job</group_name>") == 2
        script = ("cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdb/serial\necho \" $TZ\"\n"
                  "echo kept | sudo dd of=/dev/vdb conv=notrunc 2>/dev/null\nsudo head -c4 /dev/vdb")
        said = job.run_script(bash_script(script)).stdout.decode().split()
        assert said == [str(3 << 21), str(100 << 11), "scratch", "UTC-5", "kept"], said
    place.assert_nothing_left()


@pytest.mark.parametrize("config,code,sentence", [
    ('disk-size = "2GiB"\nmax-disk-size = "1GiB"', 1, "disk-size is 2.1 GB, more than max-disk-size, 1.1 GB"),
    ('scratch-disk = "2GiB"\nmax-disk-size = "1GiB"', 1, "scratch-disk is 2.1 GB, more than max-disk-size"),
    ('timezone = "Mars; reboot"', 1, "timezone: 'Mars; reboot' is not the name of a time zone"),
    ('network-limit = "1MB"', 2, "network-limit is set, but libvirt cannot limit the user-mode network"),
    ('network = "bridge:nobr0"', 2, "this host has no bridge 'nobr0'"),
    ('memory = "2GiB"\nmax-memory = "1GiB"', 1, "more than max-memory"),
])
def test_a_shape_that_cannot_be(place, small_image, config, code, sentence):
    with place.runner(config + "\n").job(job_id=621, image=small_image, cleanup_may_fail=True) as job:
        result = job.call("prepare")
        assert result.code == code and sentence in result.stderr.decode(), result.stderr.decode()
    place.assert_nothing_left()

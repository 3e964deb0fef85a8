"""What test_network.py runs in the namespace: two jobs on one libvirt network. PROGRAM GUEST as arguments."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

from fake_runner import FakeRunner, bash_script  # noqa: E402
from test_network import NETWORK, greeter, reaches  # noqa: E402


def virsh(*arguments):
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", *arguments], capture_output=True, text=True, check=True).stdout


def main(program, guest):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="sarde-network-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        network = pathlib.Path(folder, "network.xml")
        network.write_text(NETWORK)
        virsh("net-define", network)
        virsh("net-start", "jobs")
        config = pathlib.Path(folder, "sarde.toml")
        config.write_text('network = "jobs"\nconnect = "qemu:///system"\npull-policy = "never"\naddress-timeout = 90\n')
        environment = dict(os.environ) | {"SARDE_CONF_FILES": str(config), "SARDE_OCIDIR": f"{folder}/oci", "SARDE_VMDIR": f"{folder}/vms", "SARDE_JOBSDIR": f"{folder}/jobs"}
        subprocess.run([program, "export", "--compression", "fast", "--libvirtconfig", f"{guest}/domain.xml", "--vmconfig", f"{guest}/vmconfig.json", "small",
                        "h.example/vms/small:latest"], env=environment, check=True)
        runner = FakeRunner(program, environment)
        with runner.job(job_id=1, image="h.example/vms/small") as one, runner.job(job_id=2, image="h.example/vms/small") as two:
            addresses = []
            for job in (one, two):
                assert job.prepare(), job.result.text
                addresses.append(re.search(r"expected at (192\.168\.222\.\d+) port 22", job.result.text)[1])
            assert addresses[0] != addresses[1]
            assert one.run_script(bash_script("echo here")).stdout == b"here\n"
            reach = "if sudo ping -c 1 -W 3 {} >/dev/null 2>&1; then echo reached; else echo not reached; fi"
            assert one.run_script(bash_script(reach.format("192.168.222.1"))).stdout == b"reached\n"
            # one job's guest does not reach another's on the same bridge
            assert one.run_script(bash_script(reach.format(addresses[1]))).stdout == b"not reached\n"
            # nor what listens on the host's loopback, by any of its addresses
            with greeter() as port:
                for address in ("192.168.222.1", "127.0.0.1", "10.0.2.2"):
                    assert not reaches(one, address, port), address
            names = virsh("list", "--name").split()
            virsh("destroy", one.settings["hostname"])
            late = one.run_script(bash_script("true"), "upload_artifacts_on_failure")
            assert late.code == 2 and b"the VM is gone" in late.stderr and late.seconds < 2, (late.seconds, late.stderr)
        assert len(names) == 2
        assert virsh("list", "--all", "--name").split() == []
        assert os.listdir(f"{folder}/jobs") == []
        virsh("net-destroy", "jobs")
    print("ALL CHECKED")


if __name__ == "__main__":
    main(*sys.argv[1:])

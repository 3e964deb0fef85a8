"""What test_network.py runs in the namespace: two jobs on one libvirt network. PROGRAM GUEST FILTER as arguments; FILTER: which network
filter the VMs are to get."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

from fake_runner import FakeRunner, bash_script  # noqa: E402
from test_network import NETWORK, greeter, reaches  # noqa: E402


def virsh(*arguments):
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", *arguments], capture_output=True, text=True, check=True).stdout


def neighbour(address):
    """The MAC address that this host has for it."""
    found = subprocess.run(["ip", "neigh", "show", address], capture_output=True, text=True).stdout
    return (re.search(r"lladdr (\S+)", found) or [None, None])[1]


def cannot_be_impersonated(victim, attacker, addresses):
    """The attacker, root in its guest, takes the victim's address and MAC address: the host goes on speaking to the victim."""
    assert victim.run_script(bash_script("echo before")).stdout == b"before\n"
    real = neighbour(addresses[0])
    device = "$(ip -o link | sed -n 's/^[0-9]*: \\(e[^:]*\\):.*/\\1/p' | head -1)"
    claims = (f"sudo ip addr add {addresses[0]}/24 dev {device}\n"
              f"for i in 1 2 3; do sudo busybox arping -A -c 1 -I {device} {addresses[0]}; sudo busybox arping -U -c 1 -I {device} {addresses[0]}; done\n"
              f"sudo ping -c 2 -W 1 -I {addresses[0]} 192.168.222.1\n")
    said = attacker.run_script(bash_script(claims + "true"))
    print("what the attacker saw:", said.stdout.decode(), said.stderr.decode())
    assert b"Sent" in said.stdout or b"ARPING" in said.stdout, "it did send its claims"
    assert neighbour(addresses[0]) == real
    subprocess.run(["ip", "neigh", "flush", "all"], check=True)
    assert victim.run_script(bash_script("echo after")).stdout == b"after\n"
    assert neighbour(addresses[0]) == real
    # It can go on under its own address, and only under that.
    attacker.run_script(bash_script(f"sudo ip addr del {addresses[0]}/24 dev {device}"))
    reach = "sudo ping -c 1 -W 3 {} 192.168.222.1 >/dev/null 2>&1 && echo reached || echo not reached"
    assert attacker.run_script(bash_script(reach.format(""))).stdout == b"reached\n"
    attacker.run_script(bash_script(f"sudo ip addr add 192.168.222.77/24 dev {device}"))
    assert attacker.run_script(bash_script(reach.format("-I 192.168.222.77"))).stdout == b"not reached\n"


def define_libvirts_filters():
    """Those of Debian's libvirt-daemon-config-nwfilter. They refer to each other."""
    left = list(pathlib.Path("/usr/share/libvirt/nwfilter").glob("*.xml"))
    while left:
        refused = [file for file in left if subprocess.run(["virsh", "-q", "-c", "qemu:///system", "nwfilter-define", file], capture_output=True).returncode != 0]
        assert len(refused) < len(left), refused
        left = refused


def can_shape():
    """Whether this kernel has the queue that libvirt uses."""
    added = subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "sfq"], capture_output=True)
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], capture_output=True)
    return added.returncode == 0


def with_a_limit(runner):
    with runner.job(job_id=4, image="h.example/vms/small", retry_pause=0.1, cleanup_may_fail=True) as job:
        prepared = job.prepare()
        if can_shape():
            assert prepared, job.result.text
            xml = virsh("dumpxml", job.settings["hostname"])
            assert "<inbound average='9765'/>" in xml and "<outbound average='9765'/>" in xml
        else:
            assert job.result.verdict == "system_failure" and "network-limit needs the kernel's traffic shaping" in job.result.text, job.result.text


def on_a_bridge(runner):
    """The same network, as an administrator's own bridge, of which libvirt knows nothing. (This guest has no agent to tell its
    address, so it is not waited for.)"""
    with runner.job(job_id=3, image="h.example/vms/small") as job:
        job.config()
        stage = job.start("prepare")
        deadline = time.monotonic() + 30
        while job.settings["hostname"] not in virsh("list", "--name").split():
            assert time.monotonic() < deadline, bytes(stage.err)
            time.sleep(0.2)
        xml = virsh("dumpxml", job.settings["hostname"])
        assert "<source bridge='sardebr0'/>" in xml and "<port isolated='yes'/>" in xml and "<filterref" in xml
        stage.process.terminate()
        assert stage.wait().code == 2


def in_place_of_passt(program, guest, folder):
    """QEMU cannot connect to passt, as where it is confined: the VM is on libvirt's network, and the log says why."""
    for command in ("link add out type veth peer name far", "addr add 192.0.2.10/24 dev out", "link set far up", "link set out up", "route add default via 192.0.2.1 dev out"):
        subprocess.run(["ip", *command.split()], check=True)  # passt needs a default route
    network = pathlib.Path(folder, "default.xml")
    network.write_text(NETWORK.replace("<name>jobs</name>", "<name>default</name>"))
    virsh("net-define", network)
    virsh("net-start", "default")
    wrapper = pathlib.Path(folder, "wrapped", "passt")
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\n/usr/bin/passt \"$@\" || exit\nwhile [ \"$1\" != --pid ]; do shift; done\nkill $(cat \"$2\")\n")
    wrapper.chmod(0o755)
    environment = with_small_image(program, guest, folder, "address-timeout = 90\n") | {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    with FakeRunner(program, environment).job(job_id=5, image="h.example/vms/small") as job:
        assert job.prepare() and job.result.text.count("The VM is on libvirt's network 'default', because passt cannot provide one of its own: ") == 1, job.result.text
        assert re.search("connect QEMU to passt's socket: QEMU says '[^']*error[^']*'; do AppArmor, SELinux or a folder's rights forbid it\\?", job.result.text), job.result.text
        assert job.run_script(bash_script("echo here")).stdout == b"here\n"
        assert len(virsh("list", "--name").split()) == 1
    assert subprocess.run(["pgrep", "-f", f"{folder}/jobs/"], capture_output=True, text=True).stdout == ""
    virsh("net-destroy", "default")


def with_small_image(program, guest, folder, config):
    """The environment of a driver that has the small guest's image, and reads this beside where libvirt is."""
    settings = pathlib.Path(folder, "sarde.toml")
    settings.write_text('connect = "qemu:///system"\npull-policy = "never"\n' + config)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SARDE_")} | {
        "SARDE_GUEST_RUNNER": "none", "SARDE_CONF_FILES": str(settings), "SARDE_OCIDIR": f"{folder}/oci", "SARDE_VMDIR": f"{folder}/vms", "SARDE_JOBSDIR": f"{folder}/jobs"}
    subprocess.run([program, "export", "--compression", "fast", "--libvirtconfig", f"{guest}/domain.xml", "--vmconfig", f"{guest}/vmconfig.json", "small",
                    "h.example/vms/small:latest"], env=environment, check=True)
    return environment


def main(program, guest, filter_name):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if filter_name == "clean-traffic":
        define_libvirts_filters()
    with tempfile.TemporaryDirectory(prefix="sarde-network-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        network = pathlib.Path(folder, "network.xml")
        network.write_text(NETWORK)
        virsh("net-define", network)
        virsh("net-start", "jobs")
        environment = with_small_image(program, guest, folder, 'network = "jobs"\naddress-timeout = 90\n')
        runner = FakeRunner(program, environment)
        with runner.job(job_id=1, image="h.example/vms/small") as one, runner.job(job_id=2, image="h.example/vms/small") as two:
            addresses = []
            for job in (one, two):
                assert job.prepare(), job.result.text
                assert "WARNING" not in job.result.text, job.result.text
                addresses.append(re.search(r"expected at (192\.168\.222\.\d+) port 22", job.result.text)[1])
                assert f"<filterref filter='{filter_name}'>" in virsh("dumpxml", job.settings["hostname"])
            assert addresses[0] != addresses[1]
            assert one.run_script(bash_script("echo here")).stdout == b"here\n"
            reach = "if sudo ping -c 1 -W 3 {} >/dev/null 2>&1; then echo reached; else echo not reached; fi"
            assert one.run_script(bash_script(reach.format("192.168.222.1"))).stdout == b"reached\n"
            # one job's guest does not reach another's on the same bridge
            assert one.run_script(bash_script(reach.format(addresses[1]))).stdout == b"not reached\n"
            cannot_be_impersonated(one, two, addresses)
            # nor what listens on the host's loopback, by any of its addresses
            with greeter() as port:
                for address in ("192.168.222.1", "127.0.0.1", "10.0.2.2"):
                    assert not reaches(one, address, port), address
            names = virsh("list", "--name").split()
            virsh("destroy", one.settings["hostname"])
            late = one.run_script(bash_script("true"), "upload_artifacts_on_failure")
            assert late.code == 2 and b"the VM is gone" in late.stderr and late.seconds < 2, (late.seconds, late.stderr)
        assert len(names) == 2
        with_a_limit(FakeRunner(program, environment | {"SARDE_NETWORK_LIMIT": "10MB"}))
        on_a_bridge(FakeRunner(program, environment | {"SARDE_NETWORK": "bridge:sardebr0"}))
        assert virsh("list", "--all", "--name").split() == []
        assert os.listdir(f"{folder}/jobs") == []
        virsh("net-destroy", "jobs")
        virsh("net-undefine", "jobs")
        if filter_name == "clean-traffic":
            in_place_of_passt(program, guest, folder)
        assert os.listdir(f"{folder}/jobs") == []
    print("ALL CHECKED")


if __name__ == "__main__":
    main(*sys.argv[1:])

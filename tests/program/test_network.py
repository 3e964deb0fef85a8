"""A job on a libvirt network: a bridge, libvirt's DHCP server and a lease. All of it in a network namespace of the test's own,
with a libvirt of its own in there; the host's interfaces are not touched."""
import contextlib
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading

import pytest

from conftest import need, run_in_a_namespace, tools_without_passt
from fake_runner import bash_script

NETWORK = """<network><name>jobs</name><bridge name='sardebr0'/><ip address='192.168.222.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.222.10' end='192.168.222.99'/></dhcp></ip></network>"""


def reaches(job, address, port):
    """Does the guest get an answer at that address?"""
    script = f"exec 3<>/dev/tcp/{address}/{port} && head -c 5 <&3"
    result = job.run_script(bash_script(f"timeout 5 bash -c '{script}' 2>/dev/null || echo silence"))
    assert result.code == 0, result.stderr
    return result.stdout == b"hello"


@contextlib.contextmanager
def greeter():
    """Says hello to whoever connects to this host's loopback; its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Hello", (socketserver.BaseRequestHandler,), {"handle": lambda self: self.request.sendall(b"hello")})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def gateway_of(job):
    return job.run_script(bash_script("ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'")).stdout.decode().strip()


def addresses_of_this_host():
    listed = json.loads(subprocess.run(["ip", "-j", "-4", "address"], capture_output=True, check=True).stdout)
    return [address["local"] for link in listed for address in link["addr_info"]]


def test_a_guest_on_the_user_network_reaches_neither_the_host_nor_another_guest(place, small_image):
    need(shutil.which("passt"), "passt is not installed")
    runner = place.runner()
    with greeter() as port, runner.job(job_id=801, image=small_image) as job, runner.job(job_id=802, image=small_image) as other:
        assert job.prepare() and other.prepare(), job.result.text + other.result.text
        assert "WARNING" not in job.result.text
        others_ssh = re.search(r"expected at 127.0.0.1 port (\d+)", other.result.text)[1]
        for address in {"10.0.2.2", "127.0.0.1", gateway_of(job), *addresses_of_this_host()}:
            assert not reaches(job, address, port), address
            if address != "127.0.0.1":
                assert not reaches(job, address, others_ssh), address


def test_qemus_own_user_network_has_to_be_asked_for(place, small_image):
    """What the test above would see if the network were not what it is; and what is said where passt cannot be had."""
    with greeter() as port:
        with place.runner('network = "slirp"').job(job_id=803, image=small_image) as job:
            assert job.prepare(), job.result.text
            assert "WARNING" not in job.result.text
            assert reaches(job, "10.0.2.2", port)
        tools = tools_without_passt(place.folder / "tools-without-passt")
        with place.runner(PATH=tools).job(job_id=804, image=small_image) as job:
            assert job.prepare(), job.result.text
            assert "WARNING: the VM can reach services that listen on this host's 127.0.0.1" in job.result.text and "apt-get install passt" in job.result.text
        with place.runner('network = "passt"', PATH=tools).job(job_id=805, image=small_image, retry_pause=0.1) as job:
            assert not job.prepare() and job.result.verdict == "system_failure"
            assert "set up the VM's network with passt: run passt: there is no such program" in job.result.text
    place.assert_nothing_left()


@pytest.mark.parametrize("filter_name", ["sarde-executor-address-1", "clean-traffic"])
def test_jobs_on_a_libvirt_network(place, small_image, filter_name):
    """Runs this file's inner test in the namespace: pytest itself moves there, for the driver and virsh must be in it."""
    need(shutil.which("dnsmasq") or os.path.exists("/usr/sbin/dnsmasq"), "dnsmasq is not installed")
    need(filter_name != "clean-traffic" or os.path.isdir("/usr/share/libvirt/nwfilter"), "libvirt-daemon-config-nwfilter is not installed")
    run_in_a_namespace("network_inner.py", place.program, place.guest, filter_name)

"""A job on a libvirt network: a bridge, libvirt's DHCP server and a lease. All of it in a network namespace of the test's own,
with a libvirt of its own in there; the host's interfaces are not touched."""
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import need
from fake_runner import bash_script

NETWORK = """<network><name>jobs</name><bridge name='sardebr0'/><ip address='192.168.222.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.222.10' end='192.168.222.99'/></dhcp></ip></network>"""


def test_jobs_on_a_libvirt_network(place, small_image):
    """Runs this file's inner test in the namespace: pytest itself moves there, for the driver and virsh must be in it."""
    need(os.geteuid() == 0 or shutil.which("sudo"), "a network namespace needs root")
    need(shutil.which("dnsmasq") or os.path.exists("/usr/sbin/dnsmasq"), "dnsmasq is not installed")
    inner = pathlib.Path(__file__).with_name("network_inner.py")
    prefix = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=SARDE_REQUIRE_ALL"]
    environment = {k: v for k, v in os.environ.items() if k not in ("SARDE_PRIVATE_LIBVIRT", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    namespace = f"sarde-{os.getpid()}"
    subprocess.run([*prefix, "ip", "netns", "add", namespace], check=True)
    try:
        done = subprocess.run([*prefix, "ip", "netns", "exec", namespace, str(inner.parents[1] / "support" / "private-libvirt"), "/usr/bin/python3", str(inner),
                               place.program, str(place.guest)], env=environment, capture_output=True, text=True, timeout=600)
        print(done.stdout, done.stderr)
        assert done.returncode == 0
        assert "ALL CHECKED" in done.stdout
    finally:
        subprocess.run([*prefix, "ip", "netns", "delete", namespace], check=True)

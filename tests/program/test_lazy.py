"""VMs that start before their image is there: the disks are served while they come, and what may go wrong with that."""
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from conftest import TOP
from lying_registry import LyingRegistry

PAYLOAD = 96 << 20  # behind the guest's own file systems; it does not compress


@pytest.fixture(scope="module")
def source(place, tmp_path_factory):
    """The small guest with much more on its disk than it needs for booting, as a layout; and what it has there."""
    folder = tmp_path_factory.mktemp("source")
    raw = folder / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", place.guest / "disk.qcow2", raw], check=True)
    at = (raw.stat().st_size + (1 << 20) - 1 >> 20) << 20
    payload = random.Random(15).randbytes(PAYLOAD)
    with open(raw, "r+b") as file:
        file.seek(at)
        file.write(payload)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2"], check=True)
    raw.unlink()
    (folder / "domain.xml").write_text((place.guest / "domain.xml").read_text())
    place.run("export", "--raw", "--compression", "fast", "--libvirtconfig", folder / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "big", folder / "layout",
              env=place.store(folder))
    return {"layout": folder / "layout", "disk": folder / "disk.qcow2", "at": at >> 20, "payload": hashlib.sha256(payload).hexdigest()}


class Host:
    """A host with empty folders, and a registry that has the image."""

    def __init__(self, place, source, registry, address, folder):
        self.place, self.source, self.registry, self.folder = place, source, registry, folder
        registry.tags["1"] = [registry.add_layout(source["layout"])]
        self.image = f"{address}/vms/big:1"
        self.env = place.store(folder) | {"SARDE_INSECURE_REGISTRIES": address, "SARDE_LAZY": "always", "SARDE_FETCH_TIMEOUT": "60"}
        self.vms = folder / "vms"

    def runner(self, **environment):
        return self.place.runner("", **self.env | environment)

    @property
    def partial(self):
        found = list(self.vms.glob(".lazy-*"))
        return found[0] if found else None

    @property
    def server(self):
        """The disk server's number."""
        return int((self.partial / ".process").read_text().split()[0])

    def whole(self, patience=60):
        """Waits until the image has its folder; its disk."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = list(self.vms.glob("sha256:*/disk.qcow2"))
            if found and not self.partial:
                return found[0]
            time.sleep(0.1)
        raise AssertionError(f"{sorted(self.vms.iterdir())} {[p.read_text() for p in self.vms.glob('.lazy-*/.failure')]}")


@pytest.fixture
def host(place, source, tmp_path):
    registry = LyingRegistry()
    with registry.serving() as address:
        yield Host(place, source, registry, address, tmp_path)


def read_payload(source):
    return f"dd if=/dev/vda bs=1M skip={source['at']} count={PAYLOAD >> 20} 2>/dev/null | sha256sum\n"


def test_a_job_runs_while_its_image_comes(host, source):
    host.registry.pause = 0.05  # 20 MB/s
    with host.runner().job(job_id=15001, image=host.image) as job:
        job.prepare()
        print(job.result.text)
        assert job.result.verdict != "system failure", job.result.text
        assert "the VM starts while it comes (lazy)" in job.result.text
        job.run("build_script", read_payload(source))
        print(job.result.text)
        assert source["payload"] in job.result.text
        disk = host.whole()
        assert hashlib.sha256(disk.read_bytes()).hexdigest() == hashlib.sha256(source["disk"].read_bytes()).hexdigest()
        job.run("after", read_payload(source))
    assert job.result.verdict == "success", job.result.text

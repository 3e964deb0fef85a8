"""VMs that start before their image is there: the disks are served while they come, and what may go wrong with that."""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import need
from fake_runner import bash_script
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
        self.layout = folder / "oci" / f"{address}/vms/big"
        manifest = json.loads(registry.blobs[registry.tags["1"][0]])
        self.layers = [layer["digest"] for layer in manifest["layers"] if layer["mediaType"].split(";")[0].endswith("+gzip")]

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


def payload_of(source):
    """Reads it in the guest; says so if that cannot be done."""
    return bash_script(f"set -o pipefail; sudo dd if=/dev/vda bs=1M skip={source['at']} count={PAYLOAD >> 20} | sha256sum")


def big_blobs(host):
    return [digest for digest, content in host.registry.blobs.items() if len(content) > 1 << 20]


def ended(pid, patience=30):
    """Whether the process ends within this time, in seconds."""
    deadline = time.monotonic() + patience
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not pathlib.Path(f"/proc/{pid}").exists()


def is_right(host, disk):
    return disk.read_bytes() == host.source["disk"].read_bytes()


def prepared(host, number, **environment):
    job = host.runner(**environment).job(job_id=number, image=host.image)
    assert job.prepare(), job.result.text
    assert "the VM starts while it comes (lazy)" in job.result.text, job.result.text
    return job


def test_a_job_runs_while_its_image_comes(host, source, place, request):
    host.registry.rate = 4_000_000
    with prepared(host, 15001) as job:
        assert host.partial and not list(host.vms.glob("sha256:*"))
        # It is in use, and what is there of it is said.
        assert "coming" in host.place.run("list", env=host.env).stdout
        assert "a part of its disks has come (lazy)" in host.place.run("verify", env=host.env).stdout
        assert "is using it" in host.place.run("rm", host.image, env=host.env, check=False).stderr
        host.place.run("prune", "--all", env=host.env, check=False)
        assert host.partial, "prune took what a VM reads from"
        first = host.server
        with prepared(host, 15002) as other:
            assert host.server == first  # one for each image
            memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{first}/status").read_text())[1]) >> 10
            print(f"the disk server has needed {memory} MiB at most")
            assert memory <= 40 or request.config.getoption("--slow")
            host.registry.rate = 0
            assert other.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
            assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
            assert is_right(host, host.whole())
            assert ended(first)
            # The server has gone; the VMs did not notice.
            host.registry.lacks.update(big_blobs(host))
            for one in (job, other):
                assert one.run_script(bash_script("echo 3 | sudo tee /proc/sys/vm/drop_caches")).code == 0
                assert one.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
    # The layers came once each.
    blobs = [path for path in host.registry.asked if "/blobs/" in path and path.startswith("GET")]
    assert all(sum(digest in path for path in blobs) == 1 for digest in big_blobs(host)), blobs
    with host.runner().job(job_id=15003, image=host.image) as job:
        assert job.prepare() and "Up to date" in job.result.text, job.result.text
    # What a boot needs was noted, and goes into the next export.
    order = json.loads((host.layout / ".boot-order.json").read_text())["disk.qcow2"]
    assert order.startswith("0") and order != "0-0", order
    host.place.run("export", "--compression", "fast", "--libvirtconfig", source["disk"].parent / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "big",
                   host.image.replace(":1", ":2"), env=host.env)
    index = json.loads((host.layout / "index.json").read_text())["manifests"][-1]
    manifest = json.loads((host.layout / "blobs/sha256" / index["digest"][7:]).read_text())
    assert [layer["annotations"]["sarde-executor.disk.boot-order"] for layer in manifest["layers"] if "sarde-executor.disk.name" in layer.get("annotations", {})] == [order]


def test_a_server_that_is_killed_is_started_again(host, source):
    host.registry.pause = 0.2
    with prepared(host, 15010) as job:
        stage = job.start_script(payload_of(source))
        killed = set()
        deadline = time.monotonic() + 60
        while stage.process.poll() is None and len(killed) < 2 and time.monotonic() < deadline:
            if host.partial and host.server not in killed:
                time.sleep(1)
                killed.add(host.server)
                os.kill(host.server, signal.SIGKILL)
            time.sleep(0.1)
        result = job.finish_script(stage)
        assert len(killed) == 2 and result.stdout.decode().startswith(source["payload"]), job.result.text
        host.registry.pause = 0
        # Killed when no stage runs: the next one sees to it; and killed after all has come.
        if host.partial:
            os.kill(host.server, signal.SIGKILL)
        assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"]), job.result.text
        job.run_script(bash_script("sleep 5"))
        assert is_right(host, host.whole())
        assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
    assert job.result.verdict == "success", job.result.text


def test_a_job_that_waits_for_room_holds_nothing_up(host, source):
    host.registry.rate = 2_500_000
    room = {"SARDE_MAX_VMS": "1"}
    with host.runner(**room).job(job_id=15015, image=host.image) as waits:
        with prepared(host, 15014, **room) as job:
            waits.config()
            stage = waits.start("prepare")
            deadline = time.monotonic() + 30
            while not list(host.folder.glob("jobs/sarde-15015-*/ticket")):
                assert time.monotonic() < deadline and stage.process.poll() is None
                time.sleep(0.05)
            assert host.partial
            host.registry.rate = 0
            assert is_right(host, host.whole())
            assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
            assert stage.process.poll() is None
        assert stage.wait(120).code == 0, waits.result.text
        assert "There is room on this host" in waits.result.text and "WARNING: the VM cannot start" not in waits.result.text
        assert waits.run_script(payload_of(source)).stdout.decode().startswith(source["payload"])
        assert waits.settings["hostname"] in host.place.domains()


@pytest.mark.parametrize("fault", ["dies", "stalls", "lies"])
def test_a_registry_that_fails_in_the_middle_fails_the_job(host, source, fault):
    """An I/O error in the guest, never zeros; and a system failure, for it is not the job's script that failed."""
    host.registry.rate = 5_000_000
    with prepared(host, 15020, SARDE_FETCH_TIMEOUT="6") as job:
        here = {int(line.split()[1]) for line in (host.partial / ".layers").read_text().splitlines() if line}
        if fault == "dies":
            host.registry.lacks.update(big_blobs(host))
        elif fault == "stalls":
            host.registry.stalls = True
        else:
            host.registry.turns.update({digest: [os.urandom(len(host.registry.blobs[digest]))] * 9 for digest in big_blobs(host)})
        result = job.run_script(payload_of(source))
        assert result.stdout == b"" or not result.stdout.startswith(hashlib.sha256(bytes(PAYLOAD)).hexdigest().encode())
        assert job.result.verdict == "system_failure", job.result.text
        assert "the VM's disks cannot be read any more" in job.result.text
        assert {"dies": "500", "stalls": "did not send all of it in time (fetch-timeout)", "lies": "other content than the image's manifest says"}[fault] in job.result.text, job.result.text
    assert len(here) < 13
    if fault != "lies":
        return
    # The registry is well again: what had come is not fetched again, and the image is right.
    host.registry.lacks.clear()
    host.registry.turns.clear()
    host.registry.stalls, host.registry.rate, host.registry.asked = False, 0, []
    with prepared(host, 15021) as job:
        assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"]), job.result.text
        assert is_right(host, host.whole())
    assert not any("/blobs/" in path and host.layers[layer][7:] in path for layer in here for path in host.registry.asked)


def test_a_disk_that_becomes_full_fails_the_job(host, source):
    host.vms.mkdir()
    need(subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", host.vms], capture_output=True).returncode == 0, "mounting a small file system needs root")
    try:
        host.registry.rate = 2_500_000
        with prepared(host, 15025) as job:
            server = host.server
            host.registry.rate = 0
            assert not job.run_script(payload_of(source)).stdout.startswith(source["payload"].encode())
            assert job.result.verdict == "system_failure", job.result.text
            assert "the VM's disks cannot be read any more" in job.result.text and "No space left on device" in job.result.text, job.result.text
        # What came does not keep the disk full.
        assert ended(server)
        assert not [path for path in host.vms.iterdir() if not path.name.endswith(".lock")]
    finally:
        subprocess.run(["umount", host.vms], check=True)


def test_after_a_power_cut_nothing_is_believed(host, source):
    host.registry.rate = 5_000_000
    with prepared(host, 15030):
        server = host.server
    # Nobody needed it any more; what had come stays for the next job, of the same boot of the machine.
    assert ended(server) and host.partial
    mark = host.partial / ".image"
    mark.write_text(mark.read_text().splitlines()[0] + "\nanother boot\n")
    with open(host.partial / "disk.qcow2", "r+b") as disk:
        disk.write(bytes(4 << 20))
    host.registry.rate = 0
    with prepared(host, 15031) as job:
        assert job.run_script(payload_of(source)).stdout.decode().startswith(source["payload"]), job.result.text
        assert is_right(host, host.whole())


def test_auto_starts_early_only_where_it_takes_long(host, source):
    host.registry.pause = 0.25  # 4 MB/s: 36 s
    begun = time.monotonic()
    with host.runner(SARDE_LAZY="auto").job(job_id=15040, image=host.image) as job:
        assert job.prepare() and "the VM starts while it comes (lazy)" in job.result.text, job.result.text
        assert time.monotonic() - begun < 30
        host.registry.pause = 0
        assert is_right(host, host.whole())
    shutil.rmtree(host.folder / "vms")
    for lazy, pause in (("auto", 0), ("off", 0.05)):
        host.registry.pause = pause
        host.vms.mkdir(exist_ok=True)
        with host.runner(SARDE_LAZY=lazy).job(job_id=15041, image=host.image) as job:
            assert job.prepare() and "Fetched and unpacked" in job.result.text, job.result.text
        shutil.rmtree(host.folder / "vms")


def test_where_it_cannot_be_the_vm_waits(host, place, tmp_path):
    """A path that is too long for a socket, and an image of another program."""
    host.vms = tmp_path / ("long" * 25)
    with host.runner(SARDE_VMDIR=str(host.vms)).job(job_id=15050, image=host.image) as job:
        assert job.prepare() and "Fetched and unpacked" in job.result.text, job.result.text

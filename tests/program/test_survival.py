"""libvirtd survives all that images can say: it is the same process afterwards, has grown little, and answers at once."""
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "tests/hostile"))
from images import ATTACKS, DISK_XML, Image, many_disks, xml  # noqa: E402
from mutations import mutations  # noqa: E402

COUNT = int(os.environ.get("SARDE_MUTATIONS", "1000"))
SEED = int(os.environ.get("SARDE_MUTATION_SEED", "8"))
URI = "qemu:///session"


def libvirtd():
    run = pathlib.Path("/run" if os.geteuid() == 0 else os.environ["XDG_RUNTIME_DIR"])
    return int((run / "libvirt/libvirtd.pid").read_text())


def resident_megabytes(pid):
    return next(int(line.split()[1]) >> 10 for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def start_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


def what_a_job_takes(domain):
    """The values that a job's domain is made of (core/vm/domain/image_domain.hpp), and what decides whether there is one: domains that agree in
    these give the same VM."""
    try:
        root = ElementTree.fromstring(domain)
    except ElementTree.ParseError:
        return domain

    def of(path, *names):
        return [[element.text, *(element.get(name) for name in names)] for element in root.iterfind(path)]

    disks = [[disk.get("type"), disk.get("device"), *(sorted(child.items()) for child in disk), len(disk)] for disk in root.iterfind("devices/disk")]
    devices = sorted({(device.tag, device.get("type"), str(device.find("source") is not None)) for device in root.iterfind("devices/*")})
    return json.dumps([of("memory", "unit"), of("vcpu"), of("os", "firmware"), of("os/type", "arch", "machine"), of("os/loader", "type"), [feature.tag for feature in root.iterfind("features/*")],
                       of("cpu", "mode"), of("cpu/model"), of("clock", "offset"), disks, [[c.get("model")] for c in root.iterfind("devices/controller") if c.get("type") == "scsi"],
                       [[i.get("type"), *(sorted(child.items()) for child in i if child.tag in ("source", "model"))] for i in root.iterfind("devices/interface")][:1],
                       of("devices/video/model", "type")[:1], devices, of("devices/rng/backend", "model"), of("devices/emulator")])


class Feeder:
    """Puts images before `import` and `prepare`, with the real libvirt behind them."""

    def __init__(self, place, folder):
        self.place, self.folder = place, folder
        self.prepares_all = False
        self.outcomes, self.slowest, self.seen, self.lock = collections.Counter(), 0.0, set(), threading.Lock()
        self.env = place.environment | place.store(folder) | {"SARDE_CONNECT": URI, "SARDE_PULL_POLICY": "never", "SARDE_MAX_IMAGE": "256MiB", "SARDE_BOOT_TIMEOUT": "1",
                                                              "SARDE_VIRT_TYPE": "qemu", "SARDE_NETWORK": "slirp", "SARDE_ADDRESS_TIMEOUT": "1"}

    def call(self, *arguments, **env):
        start = time.monotonic()
        done = subprocess.run([self.place.program, *arguments], env=self.env | env, capture_output=True, timeout=100)
        self.slowest = max(self.slowest, time.monotonic() - start)
        said = done.stderr.decode("utf-8")
        assert done.returncode in (0, 1, 2), (arguments, done.returncode, said)
        assert "ERROR: unexpected error:" not in said and "Cannot recv data" not in said and "End of file while reading" not in said, said[-2000:]
        return done.returncode, said

    def feed(self, number, image):
        """What becomes of it: (import, prepare)."""
        reference = f"h.example/m/n{number}:1"
        image.write(self.folder / f"oci/h.example/m/n{number}", "1")
        inspected, _ = self.call("inspect", "--json", reference)
        assert inspected in (0, 1, 2)
        imported, why = self.call("import", "-n", f"m{number}", reference)
        if imported == 0:
            subprocess.run(["virsh", "-q", "-c", URI, "undefine", f"m{number}", "--nvram"], check=True, capture_output=True)
        self.prepare_if_new(number, image, reference, imported)
        subprocess.run(["rm", "-rf", self.folder / f"oci/h.example/m/n{number}", self.folder / f"vms/m{number}"], check=True)

    def prepare_if_new(self, number, image, reference, imported):
        """Starting a VM takes a second: once for each that is another one."""
        taken = what_a_job_takes(image.domain)
        with self.lock:
            is_new = self.prepares_all or taken not in self.seen
            self.seen.add(taken)
        if not is_new:
            self.outcomes[f"import {imported}, a VM that was there"] += 1
            return
        prepared, said = self.call("prepare", CI_JOB_ID=str(number), CI_JOB_IMAGE=reference)
        # A VM of nothing does not boot: that is the host's fault. What is wrong with the domain is the job's.
        if prepared == 2:
            assert "wait for the SSH server" in said or "the VM is gone" in said, said[-1500:]
        self.outcomes[f"import {imported}, prepare {prepared}"] += 1


@pytest.fixture
def feeder(place, tmp_path):
    return Feeder(place, tmp_path)


def survived(place, feeder, images):
    subprocess.run(["virsh", "-q", "-c", URI, "list"], check=True, capture_output=True)  # it is there from now on
    pid = libvirtd()
    before = (pid, start_of(pid))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(feeder.feed, number, image) for number, image in images]:
            done.result()
    assert (libvirtd(), start_of(pid)) == before, "it is another process"
    start = time.monotonic()
    assert subprocess.run(["virsh", "-q", "-c", URI, "list", "--all", "--name"], check=True, capture_output=True, text=True).stdout.split() == []
    assert time.monotonic() - start < 5
    assert resident_megabytes(pid) < 500
    place.assert_nothing_left()
    assert list((feeder.folder / "jobs").iterdir()) == []
    print(f"\n{sum(feeder.outcomes.values())} images: {dict(feeder.outcomes)}; the slowest call took {feeder.slowest:.1f} s; libvirtd has {resident_megabytes(pid)} MB")


def with_raw(domain):
    return Image(domain=domain.encode(), disks=[("disk.raw", b"\0" * 4096)])


def test_it_survives_every_image_that_attacks(place, feeder):
    named = [Image(domain=xml(devices="<controller type='scsi' index='2147483647' model='virtio-scsi'/>").encode()),
             Image(domain=xml(disk=DISK_XML.replace("vda' bus='virtio", "sdzzzz' bus='scsi")).encode()),
             many_disks(26)]
    # Those for which the host is at fault have no valid blobs: they are no matter of libvirt's.
    images = named + [image for what, (image, _) in ATTACKS.items() if "changed" not in what and "another size" not in what]
    feeder.prepares_all = True
    survived(place, feeder, enumerate(images, 1000))


def test_it_survives_two_thousand_mutations(place, feeder):
    survived(place, feeder, enumerate(map(with_raw, mutations(SEED, COUNT)), 10000))
    accepted = sum(count for outcome, count in feeder.outcomes.items() if outcome.startswith("import 0"))
    assert COUNT < 100 or accepted > COUNT / 10, "the generator is to reach libvirt"

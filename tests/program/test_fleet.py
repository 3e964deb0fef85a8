"""Three hosts, one registry and one mirror, each in a network namespace of its own: what leaves the registry, and how often."""
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import time
import uuid

import pytest

from conftest import TOP, need

ORIGIN, MIRROR, HOSTS = "198.51.100.1", "198.51.100.2", ("198.51.100.11", "198.51.100.12", "198.51.100.13")


class Network:
    """A bridge in a namespace, and machines on it, which are namespaces, too."""

    def __init__(self):
        self.name = f"sarde-fleet-{uuid.uuid4().hex[:6]}"
        self.namespaces = []

    def begin(self):
        self.add_namespace("hub")
        self.inside("hub", "ip", "link", "add", "hub", "type", "bridge")
        self.inside("hub", "ip", "link", "set", "hub", "up")

    def add_namespace(self, machine):
        subprocess.run(["ip", "netns", "add", f"{self.name}-{machine}"], check=True)
        self.namespaces.append(f"{self.name}-{machine}")

    def add(self, machine):
        self.add_namespace(machine)
        port = "p" + machine.split(".")[-1]
        subprocess.run(["ip", "-n", f"{self.name}-hub", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", f"{self.name}-{machine}"], check=True)
        self.inside("hub", "ip", "link", "set", port, "master", "hub", "up")
        for command in ("link set lo up", f"addr add {machine}/24 dev eth0", "link set eth0 up"):
            self.inside(machine, "ip", *command.split())

    def command(self, machine, *words):
        return ["ip", "netns", "exec", f"{self.name}-{machine}", *map(str, words)]

    def inside(self, machine, *words, **more):
        return subprocess.run(self.command(machine, *words), check=True, capture_output=True, text=True, **more)

    def sent_by(self, machine):
        return int(self.inside(machine, "cat", "/sys/class/net/eth0/statistics/tx_bytes").stdout)

    def remove(self):
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "delete", namespace])


@contextlib.contextmanager
def registry(network, machine, folder):
    """docker-registry on port 5000 of the machine."""
    folder.mkdir()
    (folder / "config.yml").write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{machine}:5000'}}\n")
    process = subprocess.Popen(network.command(machine, "docker-registry", "serve", folder / "config.yml"), stdout=subprocess.DEVNULL, stderr=open(folder / "log", "w"))
    try:
        deadline = time.monotonic() + 30
        while network_answer(network, machine) != 0:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def network_answer(network, machine):
    return subprocess.run(network.command(machine, "bash", "-c", f"exec 3<>/dev/tcp/{machine}/5000"), capture_output=True).returncode


@pytest.fixture
def network():
    need(os.geteuid() == 0, "network namespaces need root")
    made = Network()
    try:
        made.begin()
        yield made
    finally:
        made.remove()


def test_each_image_leaves_the_registry_once(place, network, tmp_path):
    """docs/fleet.md: the mirror is filled, and then all hosts fetch at the same time."""
    for machine in (ORIGIN, MIRROR, *HOSTS):
        network.add(machine)
    image = f"{ORIGIN}:5000/vms/fleet"
    mirrored = (f'[[registry]]\nlocation = "{ORIGIN}:5000"\ninsecure = true\n[[registry.mirror]]\nlocation = "{MIRROR}:5000"\ninsecure = true\n')
    folder = tmp_path / "guest"
    folder.mkdir()
    for file in ("domain.xml", "vmconfig.json", "disk.qcow2"):
        shutil.copy(place.guest / file, folder)

    def of_host(host):
        settings = tmp_path / host / ".config/containers/registries.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(mirrored if host in HOSTS else "")
        return place.environment | place.store(tmp_path / host) | {"HOME": str(tmp_path / host), "SARDE_INSECURE": "true"}

    def publish(tag):
        env = of_host("publisher")
        subprocess.run([place.program, "export", "--compression", "fast", "--libvirtconfig", folder / "domain.xml", "--vmconfig", folder / "vmconfig.json", "fleet", f"{image}:{tag}"], env=env, check=True)
        network.inside(ORIGIN, place.program, "push", f"{image}:{tag}", env=env)

    def fetch_on(hosts, tag):
        """What left the registry and the mirror meanwhile: in bytes."""
        before = [network.sent_by(machine) for machine in (ORIGIN, MIRROR)]
        running = [subprocess.Popen(network.command(host, place.program, "fetch", "--json", f"{image}:{tag}"), env=of_host(host), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for host in hosts]
        try:
            answers = [process.communicate(timeout=120) for process in running]
        finally:
            for process in running:
                process.kill()
        assert [process.returncode for process in running] == [0] * len(hosts), answers
        assert len({json.loads(out)["digest"] for out, _ in answers}) == 1
        after = [network.sent_by(machine) for machine in (ORIGIN, MIRROR)]
        return [end - start for start, end in zip(before, after)]

    def fill_the_mirror(tag):
        """What left the registry for it, and the image's size."""
        before = network.sent_by(ORIGIN)
        size = json.loads(network.inside(MIRROR, place.program, "fetch", "--json", f"{image}:{tag}", env=of_host("filler")).stdout)["compressed_size"]
        network.inside(MIRROR, place.program, "push", "--target", f"{MIRROR}:5000/vms/fleet:{tag}", f"{image}:{tag}", env=of_host("filler"))
        return network.sent_by(ORIGIN) - before, size

    with registry(network, ORIGIN, tmp_path / "origin"), registry(network, MIRROR, tmp_path / "mirror"):
        publish(1)
        left, size = fill_the_mirror(1)
        assert size < left < 1.1 * size + 200_000
        from_origin, from_mirror = fetch_on(HOSTS, 1)
        assert from_origin < 1000 and 3 * size <= from_mirror < 3.3 * size + 400_000
        # The next version: only layers that changed move, once to the mirror, and once to each host.
        subprocess.run(["qemu-io", "-c", "write -P 7 40M 1M", folder / "disk.qcow2"], check=True, capture_output=True)
        publish(2)
        left, _ = fill_the_mirror(2)
        new = json.loads(subprocess.run([place.program, "inspect", f"{image}:2", "--diff", f"{image}:1", "--json"], env=of_host("filler"), check=True, capture_output=True, text=True).stdout)["new_size"]
        assert 0 < new < left < 1.1 * new + 200_000 and new < size / 2
        from_origin, from_mirror = fetch_on(HOSTS, 2)
        assert from_origin < 1000 and 3 * new <= from_mirror < 3.3 * new + 400_000
    # Both are away. A host has what it has.
    told = subprocess.run(network.command(HOSTS[0], place.program, "inspect", "--json", f"{image}:2"), env=of_host(HOSTS[0]), capture_output=True, text=True)
    assert told.returncode == 0 and json.loads(told.stdout)["where"] == "cache"


@pytest.mark.parametrize("starts, most, ends", [([0, 0], 10, [2, 2]), ([0, 0.5], 10, [1.5, 2]), ([0, 1], 10, [1, 2]), ([3, 0], 2, [8, 5]), ([0, 0, 0], 2, [5, 5, 5]), ([], 1, [])])
def test_the_model_shares_a_server_equally(starts, most, ends):
    """10 bytes each, from a server that gives 10 a second."""
    loader = importlib.machinery.SourceFileLoader("fleet", str(TOP / "tests/bench/fleet"))
    model = importlib.util.module_from_spec(importlib.util.spec_from_loader("fleet", loader))
    loader.exec_module(model)
    assert model.finish_times(starts, 10, 10, most) == ends

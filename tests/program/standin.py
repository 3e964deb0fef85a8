"""The program beside a hypervisor without libvirt (tests/support/standin_hypervisor.cpp), images small enough for hundreds of
jobs, and what must hold when all is over, whoever was killed before."""
import fcntl
import getpass
import hashlib
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from conftest import need
from fake_runner import FakeRunner
from test_images import domain

TEMPORARY = (".sarde-", ".incoming", ".new-", ".index.json.", ".oci-layout.")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Process:
    """A process that may end at any time: a signal reaches it, or nobody."""

    def __init__(self, pid):
        self.pid, self.fd = pid, os.pidfd_open(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def ends_within(self, seconds):
        return bool(select.select([self.fd], [], [], seconds)[0])

    def kill(self):
        try:
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False


def children(pid):
    """Those that any of its threads has started: {pid: name}."""
    found = {}
    for tasks in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in tasks.read_text().split():
                found[int(child)] = pathlib.Path(f"/proc/{child}/comm").read_text().strip()
        except OSError:
            pass
    return found


def kill_child(pid, name):
    """Kills a child of that name, if there is one now."""
    for child, comm in children(pid).items():
        if comm != name:
            continue
        try:
            with Process(child) as process:
                if children(pid).get(child) == name and process.kill():
                    return True
        except OSError:
            pass
    return False


class Standin:
    def __init__(self, place, folder, boot_milliseconds=100):
        self.program = str(pathlib.Path(place.program).parent / "tests/standin/sarde-executor")
        need(os.path.exists(self.program), "the stand-in hypervisor is not built")
        self.place, self.folder, self.domains = place, folder, folder / "domains"
        for name in ("oci", "vms", "jobs", "domains", "source"):
            (folder / name).mkdir(parents=True)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        # A home without a profile: the account's own may do anything, slowly.
        (self.domains / "sshd_config").write_text(
            f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\nPasswordAuthentication no\nUsePAM no\nKbdInteractiveAuthentication no\n"
            f"StrictModes no\nPermitRootLogin yes\nUseDNS no\nSetEnv HOME={self.domains} SARDE_STANDIN={folder}\n")
        (self.domains / "boot-ms").write_text(str(boot_milliseconds))
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.environment = place.environment | place.store(folder) | {
            "SARDE_CONNECT": f"standin://{self.domains}", "SARDE_NETWORK": "user", "SARDE_USERNAME": getpass.getuser(), "SARDE_IDENTITY_FILE": str(folder / "user"),
            "SARDE_FETCH_TIMEOUT": "2m", "SARDE_BOOT_TIMEOUT": "30s"}
        self.jobs, self.oci, self.vms = folder / "jobs", folder / "oci", folder / "vms"
        self.good = set()

    def runner(self, **environment):
        return FakeRunner(self.program, self.environment | environment)

    def run(self, *arguments, check=True, env=None):
        result = subprocess.run([self.program, *map(str, arguments)], env=self.environment | (env or {}), capture_output=True, text=True, timeout=300)
        assert not check or result.returncode == 0, (arguments, result.returncode, result.stderr)
        return result

    def publish(self, rng, name, sizes, chained=False):
        """Pushes an image with a disk of random bytes for each size, in KiB; the first one under a qcow2 file if `chained`. Its
        reference."""
        source = self.folder / "source" / name
        source.mkdir()
        disks = []
        for i, size in enumerate(sizes):
            disk = source / f"disk{i}.raw"
            disk.write_bytes(rng.randbytes(size << 10))
            disks.append((disk.name, "raw"))
        if chained:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk0.raw", source / "top.qcow2"], check=True)
            disks[0] = ("top.qcow2", "qcow2")
        (source / "d.xml").write_text(domain(name, *disks, device="<interface type='user'><model type='virtio'/></interface>"))
        reference = f"{self.place.registry}/standin/{self.folder.name}/{name}:1"
        exported = {"SARDE_OCIDIR": str(self.folder / "source/oci")}
        self.run("export", "--compression", "fast", "--libvirtconfig", source / "d.xml", name, reference, env=exported)
        self.run("push", reference, env=exported)
        self.good |= diff_ids(self.folder / "source/oci")
        # The export itself is not taken on trust.
        assert all(sha256(source / disk) in self.good for disk, form in disks if form == "raw")
        (self.domains / "good-digests").write_text("\n".join(self.good))
        return reference

    def layers(self, reference):
        """Digests of all blobs that a fetch of this image brings."""
        (manifest,) = manifests(self.folder / "source/oci" / reference.rsplit(":", 1)[0])
        return [layer["digest"] for layer in manifest["layers"]] + [manifest["config"]["digest"]]

    def guest_pid(self, vm):
        """Of the process that stands for QEMU; None where there is none."""
        try:
            return int((self.domains / "running" / vm).read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def violations(self):
        """What must never be, as sentences: files, locks, domains, processes."""
        wrong = [f"a process is left: {pid} {line}" for pid, line in no_process_of(self.folder).items()]
        for path in (self.domains / "running").iterdir():
            if self.guest_pid(path.name) and os.path.exists(f"/proc/{self.guest_pid(path.name)}"):
                wrong.append(f"a domain is left: {path.name}")
        wrong += [f"a job's folder is left: {path}, with {[file.name for file in path.iterdir()]}" for path in self.jobs.iterdir()]
        if (self.domains / "violations").exists():
            wrong += ["QEMU: " + line for line in (self.domains / "violations").read_text().splitlines()]
            (self.domains / "violations").unlink()
        return wrong + temporary_files(self.oci, self.vms, self.jobs) + held_locks(self.oci, self.vms, self.jobs) + wrong_blobs(self.oci) + self.wrong_disks()

    def wrong_disks(self):
        wrong = []
        for folder in self.vms.iterdir():
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            marker = folder / ".sarde-image.json"
            if not marker.exists():
                wrong.append(f"{folder} has no marker")
                continue
            for disk in json.loads(marker.read_text())["disks"]:
                if sha256(folder / disk["name"]) not in self.good:
                    wrong.append(f"{folder / disk['name']} is not what the image holds")
        return wrong


def processes_of(folder):
    """All that have to do with it, the stand-in's guests included: {pid: command line}. The test's own are not among them."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                cmdline = file.read().replace(b"\0", b" ")
            with open(f"/proc/{entry}/environ", "rb") as file:
                environ = file.read()
        except OSError:
            continue
        if cmdline and str(folder).encode() in cmdline + environ:
            found[int(entry)] = cmdline.decode("utf-8", "replace")
    return found


def no_process_of(folder, seconds=15):
    """Those that are still there after this time: none, if all is well."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def manifests(layout):
    """Of all that the layout's index names."""
    return [json.loads((layout / "blobs/sha256" / entry["digest"][7:]).read_text()) for entry in json.loads((layout / "index.json").read_text())["manifests"]]


def diff_ids(oci):
    """The digests (hex) of all files that the images there say to hold."""
    return {digest[7:] for index in oci.rglob("index.json") for manifest in manifests(index.parent)
            for digest in json.loads((index.parent / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())["rootfs"]["diff_ids"]}


def temporary_files(*folders):
    """A marker's name begins as a temporary file's does."""
    return [f"a temporary file is left: {path}" for folder in folders for path in folder.rglob(".*")
            if path.name.startswith(TEMPORARY) and not path.name.endswith(".lock") and path.name not in (".sarde-image.json", ".sarde-checked", ".sarde-unsynced")]


def held_locks(*folders):
    wrong = []
    for path in {path for folder in folders for pattern in ("*.lock", ".*.lock", "lock") for path in folder.rglob(pattern)}:
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wrong.append(f"a lock is held: {path}")
    return wrong


def wrong_blobs(oci):
    """Every layout can be read, every blob is what its name says, and what a tag names is whole, but for layers of disks, which jobs do not keep."""
    wrong = []
    for index in oci.rglob("index.json"):
        blobs = index.parent / "blobs/sha256"
        for blob in blobs.iterdir():
            if not blob.name.startswith(".") and sha256(blob) != blob.name:
                wrong.append(f"{blob} is not what its name says")
        for entry in json.loads(index.read_text())["manifests"]:
            manifest = blobs / entry["digest"][7:]
            if not manifest.exists():
                wrong.append(f"{index} names a manifest that is not there")
                continue
            value = json.loads(manifest.read_text())
            wrong += [f"{index}: the blob {blob['digest']} is not there" for blob in value["layers"] + [value["config"]]
                      if "+gzip" not in blob["mediaType"] and not (blobs / blob["digest"][7:]).exists()]
    return wrong

"""What image makers and administrators do with images by hand: export from anywhere, clone, look at, list, remove."""
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from xml.etree import ElementTree

import pytest

from conftest import need


def qemu_img(*arguments):
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def domain(name, *disks, device=""):
    """A definition with these disks: (file, format) each."""
    listed = "".join(f"<disk type='file' device='disk'><driver name='qemu' type='{form}'/><source file='{file}'/><target dev='vd{'abcdef'[i]}' bus='virtio'/></disk>"
                     for i, (file, form) in enumerate(disks))
    return (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>"
            f"<devices>{listed}{device}</devices></domain>")


def define(tmp_path, xml):
    path = tmp_path / "defined.xml"
    path.write_text(xml)
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "define", path], check=True)


@pytest.fixture
def undefined(place):
    """Every VM that the test defines is undefined at its end."""
    before = set(place.all_domains())
    yield
    for name in set(place.all_domains()) - before:
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", name], capture_output=True)
        place.undefine(name)


@pytest.fixture
def chain(tmp_path):
    """Three thin copies over one another, each called disk.qcow2, in folders of their own, by absolute paths."""
    below = None
    for folder in ("base", "middle", "top"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "disk.qcow2"
        if below:
            qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, file)
        else:
            qemu_img("create", "-q", "-f", "qcow2", file, "64M")
        subprocess.run(["qemu-io", "-c", f"write -P {len(folder)} {len(folder)}M 1M", file], check=True, capture_output=True)
        below = file
    return below


def contents(file):
    """What a guest reads from the disk, as a hash."""
    with subprocess.Popen(["qemu-img", "dd", "-O", "raw", f"if={file}", "of=/dev/stdout", "bs=1M"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        pass
    raw = file.parent / "contents.raw"
    qemu_img("convert", "-O", "raw", file, raw)
    digest = subprocess.run(["sha256sum", raw], capture_output=True, text=True, check=True).stdout.split()[0]
    raw.unlink()
    return digest


def test_a_backing_chain_with_absolute_paths_and_equal_names_travels(place, tmp_path, chain, undefined):
    other = tmp_path / "other" / "disk.qcow2"
    other.parent.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", other, "8M")
    define(tmp_path, domain("chained", (chain, "qcow2"), (other, "qcow2")))
    before = [file.read_bytes() for file in (chain, other)]
    env = place.store(tmp_path)
    place.run("export", "chained", "h.example/vms/chained:1", env=env)
    assert [file.read_bytes() for file in (chain, other)] == before
    name = place.run("import", "-n", "imported", "h.example/vms/chained:1", env=env).stdout.strip()
    folder = tmp_path / "vms" / name
    xml = subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", name], capture_output=True, text=True, check=True).stdout
    tops = [disk.find("source").get("file") for disk in ElementTree.fromstring(xml).iter("disk")]
    assert len(tops) == 2
    info = json.loads(qemu_img("info", "--backing-chain", "--output=json", tops[0]))
    assert len(info) == 3
    assert all("/" not in entry["backing-filename"] for entry in info[:2])
    assert contents(pathlib.Path(tops[0])) == contents(chain)
    for file in folder.glob("*.qcow2"):
        qemu_img("check", file)


def test_inspect_tells_of_disks_and_chain_here_and_at_the_registry(place, tmp_path, chain, undefined):
    define(tmp_path, domain("chained", (chain, "qcow2")))
    env = place.store(tmp_path)
    reference = f"{place.registry}/vms/inspected:1"
    place.run("export", "--vmconfig", place.guest / "vmconfig.json", "chained", reference, env=env)
    place.run("push", reference, env=env)
    local = json.loads(place.run("inspect", "--json", reference, env=env).stdout)
    fetched_before = subprocess.run(["du", "-sk", tmp_path / "oci"], capture_output=True, text=True).stdout
    remote = json.loads(place.run("inspect", "--json", "--remote", reference, env=env).stdout)
    assert subprocess.run(["du", "-sk", tmp_path / "oci"], capture_output=True, text=True).stdout == fetched_before
    assert (local["where"], remote["where"]) == ("cache", "registry")
    for key in ("digest", "id", "login", "services", "size", "compressed_size", "architecture"):
        assert local[key] == remote[key], key
    assert local["login"] == "runner" and local["services"][0]["port"] == 22
    chains = [[(disk["name"], disk["backing_file"]) for disk in facts["disks"]] for facts in (local, remote)]
    assert chains[0] == chains[1] == [("disk.qcow2", None), ("disk-2.qcow2", "disk.qcow2"), ("disk-3.qcow2", "disk-2.qcow2")]
    assert local["disks"][0]["virtual_size"] == 64 << 20
    text = place.run("inspect", reference, env=env).stdout
    assert "reads from disk.qcow2" in text and "22/tcp ssh" in text and "login         runner" in text


def with_bytes(path, at, content):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flip(path, at):
    """A bit, as a bad disk would: neither the size nor the date changes."""
    times = path.stat()
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(times.st_mode & 0o777)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_qcow2_disk_that_is_said_to_be_raw_is_refused_at_export(place, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "disk.img", "8M")
    (tmp_path / "d.xml").write_text(domain("x", (tmp_path / "disk.img", "raw")))
    refused = place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=place.store(tmp_path), check=False)
    assert refused.returncode == 1 and "is said to be raw, but is a qcow2 file" in refused.stderr, refused.stderr


@pytest.mark.parametrize("text", ['{"driver": "qcow2", "file": {"driver": "file", "filename": "%s"}}', '{"driver": "qcow2", "file.driver": "file", "file.filename": "%s"}',
                                  '{"driver": "qcow2", "file": {"filename": "base.qcow2"}, "read-only": true}'])
def test_a_backing_file_that_is_named_in_json_travels(place, tmp_path, text, undefined):
    qemu_img("create", "-f", "qcow2", tmp_path / "base.qcow2", "8M")
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", tmp_path / "base.qcow2"], check=True, capture_output=True)
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", tmp_path / "base.qcow2", tmp_path / "top.qcow2")
    qemu_img("rebase", "-u", "-F", "qcow2", "-b", "json:" + (text % (tmp_path / "base.qcow2") if "%s" in text else text), tmp_path / "top.qcow2")
    (tmp_path / "d.xml").write_text(domain("x", (tmp_path / "top.qcow2", "qcow2")))
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
    place.run("import", "-n", "from-json", "h.example/vms/x:1", env=env)
    read = subprocess.run(["qemu-io", "-r", "-c", "read -P 7 0 64k", tmp_path / "vms/from-json/top.qcow2"], capture_output=True, text=True, check=True)
    assert "failed" not in read.stdout and "backing file: base.qcow2" in qemu_img("info", tmp_path / "vms/from-json/top.qcow2")


@pytest.mark.parametrize("config,said", [('{"users": [{"username": "u", "pasword": "p"}]}', "did you mean 'password'?"), ('{"users": [{"username": "u", "password": "p"}], "service": []}', "'services'"),
                                         ('{"users": []}', "names no user"), ('{"users": [{"username": "u"}]}', "has no password"), ('{"users": [{"username": "u", "password": "p"}]}', "")])
def test_a_vm_config_with_doubtful_content_is_warned_of_at_export(place, tmp_path, config, said):
    (tmp_path / "c.json").write_text(config)
    qemu_img("create", "-f", "qcow2", tmp_path / "d.qcow2", "8M")
    (tmp_path / "d.xml").write_text(domain("x", (tmp_path / "d.qcow2", "qcow2")))
    done = place.run("export", "--libvirtconfig", tmp_path / "d.xml", "--vmconfig", tmp_path / "c.json", "x", "h.example/vms/x:1", env=place.store(tmp_path))
    assert ("WARNING" in done.stderr) == bool(said) and said in done.stderr, done.stderr


@pytest.mark.parametrize("damage,sentence", [
    (lambda top: (top.parent.parent / "base/disk.qcow2").unlink(), "base/disk.qcow2 (the backing file of"),
    (lambda top: qemu_img("rebase", "-u", "-b", top, "-F", "qcow2", top.parent.parent / "base/disk.qcow2"), "loops"),
    (lambda top: qemu_img("rebase", "-u", "-b", "nbd://localhost/x", "-F", "raw", top), "which is no file"),
    (lambda top: qemu_img("rebase", "-u", "-b", 'json:{"driver": "qcow2", "file": {"driver": "nbd", "host": "localhost"}}', "-F", "qcow2", top), "which is no plain file"),
    (lambda top: qemu_img("rebase", "-u", "-b", "json:{}", "-F", "qcow2", top), "which is no plain file"),
    (lambda top: qemu_img("rebase", "-u", "-b", "json:{nonsense", "-F", "qcow2", top), "is not valid JSON"),
    (lambda top: with_bytes(top, 72, b"\x80"), "features that are not known here"),
    (lambda top: with_bytes(top, 32, b"\0\0\0\2"), "it is encrypted"),
])
def test_a_chain_that_no_image_can_hold_is_refused_by_name(place, tmp_path, chain, damage, sentence):
    damage(chain)
    (tmp_path / "d.xml").write_text(domain("x", (chain, "qcow2")))
    result = place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=place.store(tmp_path), check=False)
    assert result.returncode == 1 and sentence in result.stderr, result.stderr
    assert not (tmp_path / "oci/h.example/vms/x/index.json").exists()


def test_a_running_vm_is_exported_live(place, tmp_path, undefined):
    """The copy is of one moment, and the guest boots from it."""
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "g", "h.example/vms/g:1", env=env)
    place.run("clone", "h.example/vms/g:1", "live", env=env)
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "start", "live"], check=True)
    time.sleep(4)
    refused = place.run("export", "live", "h.example/vms/live:1", env=env, check=False)
    assert refused.returncode == 1 and "it is running" in refused.stderr and "--live" in refused.stderr
    done = place.run("export", "--live", "live", "h.example/vms/live:1", env=env)
    assert "no guest agent froze" in done.stderr
    assert subprocess.run(["virsh", "-q", "-c", "qemu:///session", "domstate", "live"], capture_output=True, text=True).stdout.strip() == "running"
    assert not list((tmp_path / "vms").glob(".incoming-*"))
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", "live"], check=True)
    place.run("import", "-n", "from-live", "h.example/vms/live:1", env=env)
    disk = tmp_path / "vms/from-live/disk.qcow2"
    assert "backing file" not in qemu_img("info", disk)
    qemu_img("check", disk)


# Freezes, and does not thaw: what libvirt asks of an agent, guest-sync first.
STUBBORN_AGENT = r"""#!/bin/bash
agent() {
  until port=$(echo /dev/vport*p1) && [[ -c $port ]]; do sleep 0.2; done
  exec 3<>"$port"
  while :; do  # a read ends at once as long as nobody is at the other end
    IFS= read -r line <&3 || { sleep 0.2; continue; }
    case $line in
      *guest-sync*) [[ $line =~ \"id\":\ *([0-9]+) ]]; printf '{"return": %s}\n' "${BASH_REMATCH[1]}" >&3 ;;
      *fsfreeze-freeze*) printf '{"return": 1}\n' >&3 ;;
      *fsfreeze-thaw*) printf '{"error": {"class": "GenericError", "desc": "it stays frozen"}}\n' >&3 ;;
      *) printf '{"return": {}}\n' >&3 ;;
    esac
  done
}
agent &
"""


def test_a_guest_that_stays_frozen_is_spoken_of(place, tmp_path, undefined):
    """Whether its copy was made or not: somebody has to thaw it, and who exports is the one that can know."""
    agent = place.write("agent.sh", STUBBORN_AGENT)
    guest = place.changed_guest("frozen", [f"write {agent} /etc/rc.local", "sif /etc/rc.local mode 0100755"])
    xml = guest / "domain.xml"
    xml.write_text(xml.read_text().replace("<serial", "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><serial", 1))
    env = place.store(tmp_path)
    place.run("export", "--compression", "fast", "--libvirtconfig", xml, "g", "h.example/vms/frozen:1", env=env)
    place.run("clone", "h.example/vms/frozen:1", "frozen", env=env)
    virsh = ["virsh", "-q", "-c", "qemu:///session"]
    subprocess.run([*virsh, "start", "frozen"], check=True)
    deadline = time.monotonic() + 90
    while subprocess.run([*virsh, "qemu-agent-command", "frozen", '{"execute": "guest-ping"}'], capture_output=True).returncode != 0:
        assert time.monotonic() < deadline, "the agent answers"
        time.sleep(0.5)
    sentence = "the guest's file systems are still frozen: 'virsh domfsthaw frozen' thaws them"
    done = place.run("export", "--live", "frozen", "h.example/vms/copy:1", env=env)
    assert f"WARNING: {sentence}" in done.stderr, done.stderr
    small = tmp_path / "small"
    small.mkdir()
    need(subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], capture_output=True).returncode == 0, "mounting a small file system needs root")
    try:
        failed = place.run("export", "--live", "frozen", "h.example/vms/copy:2", env=env | {"SARDE_VMDIR": str(small)}, check=False)
        assert failed.returncode != 0 and f"; and {sentence}" in failed.stderr, failed.stderr
        assert not list(small.glob(".incoming-*"))
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_clone_of_an_image_and_of_a_vm(place, tmp_path, small_image, undefined):
    env = place.store(tmp_path)
    assert place.run("clone", small_image, "one", env=env).stdout == "one\n"  # fetched on the way
    assert place.run("clone", "one", "two", env=env).stdout == "two\n"
    uuid = place.run("clone", "--print-uuid", small_image, "three", env=env).stdout.strip()
    assert subprocess.run(["virsh", "-q", "-c", "qemu:///session", "domuuid", "three"], capture_output=True, text=True).stdout.strip() == uuid
    chain = json.loads(qemu_img("info", "--backing-chain", "--output=json", tmp_path / "vms/two/vda-disk.qcow2"))
    assert len(chain) == 3
    again = place.run("clone", small_image, "one", env=env, check=False)
    assert again.returncode == 1 and "a VM called 'one' already exists" in again.stderr
    nothing = place.run("clone", "localhost:1/none/at:all", "four", env=env, check=False)
    assert nothing.returncode != 0 and not (tmp_path / "vms/four").exists()
    assert not list((tmp_path / "vms").glob(".incoming*"))
    macs = {line for name in ("one", "two", "three") for line in subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", name], capture_output=True, text=True).stdout.splitlines() if "mac address" in line}
    assert len(macs) == 3


def test_list_and_getconfig(place, tmp_path, undefined):
    env = place.store(tmp_path)
    assert place.run("list", "--json", env=env).stdout.strip() == "[]"
    for tag in ("1", "2"):
        place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "g", f"h.example/vms/g:{tag}", env=env)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "bare", env=env)
    assert json.loads(place.run("getconfig", "h.example/vms/g:1", env=env).stdout) == json.loads((place.guest / "vmconfig.json").read_text())
    assert place.run("getconfig", "bare", env=env).stdout == ""
    assert json.loads(place.run("getconfig", "--raw", tmp_path / "oci/h.example/vms/g", env=env).stdout)["users"][0]["username"] == "runner"
    listed = json.loads(place.run("list", "--format", "json", env=env).stdout)
    assert [(entry["name"], entry["tag"], entry["state"]) for entry in listed] == [("bare", "latest", None), ("h.example/vms/g", "1", None), ("h.example/vms/g", "2", None)]
    name = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    states = {entry["tag"]: entry["state"] for entry in json.loads(place.run("list", "--json", env=env).stdout) if entry["id"] == name}
    assert states == {"1": False, "2": False}
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "start", name], check=True)
    assert "running" in place.run("list", env=env).stdout
    table = place.run("list", env=env | {"SARDE_CONNECT": "nonsense:///"})
    assert "missing" in table.stdout and "VMs are shown as missing" in table.stderr


def test_rm_leaves_what_others_need(place, tmp_path, undefined):
    env = place.store(tmp_path)
    for name in ("h.example/vms/g:1", "h.example/vms/g:2"):
        place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", name, env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    place.run("clone", "h.example/vms/g:1", "user", env=env)
    assert place.run("rm", "h.example/vms/g:1", env=env).stdout == "h.example/vms/g:1\n"
    assert (tmp_path / "vms" / vm / "disk.qcow2").exists()
    refused = place.run("rm", "h.example/vms/g:2", env=env, check=False)
    assert refused.returncode == 1 and "it is used by user" in refused.stderr
    place.undefine("user")
    shutil.rmtree(tmp_path / "vms/user")
    before = sorted(map(str, tmp_path.rglob("*")))
    assert place.run("rm", "--dry-run", "h.example/vms/g:2", env=env).stdout == "h.example/vms/g:2\n"
    assert sorted(map(str, tmp_path.rglob("*"))) == before and vm in place.all_domains()
    place.run("rm", "h.example/vms/g:2", env=env)
    assert vm not in place.all_domains() and not (tmp_path / "vms" / vm).exists()
    assert not list((tmp_path / "oci/h.example/vms/g/blobs/sha256").iterdir())


def verdicts(done):
    """Of `verify`: what each line is about, and whether it is well."""
    return {line[8:].split(": ")[0]: line[:8].strip() for line in done.stdout.splitlines()}


def test_verify_finds_damaged_blobs_and_missing_ones(place, tmp_path):
    env = place.store(tmp_path)
    good, one, two = "h.example/vms/g:1", "h.example/vms/other:1", "h.example/vms/other:2"
    for name in (good, one, two):
        place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", name, env=env)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    assert verdicts(place.run("verify", env=env)) == {good: "ok", one: "ok", two: "ok"}
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    folder = tmp_path / "oci/h.example/vms/other/blobs/sha256"
    *_, missing, damaged = sorted(folder.iterdir(), key=lambda blob: blob.stat().st_size)
    flip(damaged, 1000)
    missing.unlink()
    done = place.run("verify", "--json", env=env, check=False)
    details = {entry["what"]: entry["detail"] for entry in json.loads(done.stdout) if not entry["ok"]}
    assert done.returncode == 2 and set(details) == {one, two}
    assert all(f"{damaged} is damaged" in detail and f"{missing} is missing" in detail and "fetch the image again" in detail for detail in details.values())
    # What cannot be read is a failure of each image that has it, and none of the others.
    damaged.unlink()
    damaged.mkdir()
    done = place.run("verify", one, two, good, good, env=env, check=False)
    assert done.returncode == 2 and verdicts(done) == {one: "FAILED", two: "FAILED", good: "ok"} and done.stdout.count("\n") == 3
    (manifest,) = {entry["digest"] for entry in json.loads((folder.parents[1] / "index.json").read_text())["manifests"]}
    (folder / manifest[7:]).write_text("{}")
    done = place.run("verify", one, good, env=env, check=False)
    assert done.returncode == 2 and verdicts(done) == {one: "FAILED", good: "ok"} and f"{folder / manifest[7:]} is damaged" in done.stdout
    shutil.rmtree(tmp_path / "oci/h.example/vms/g")
    done = place.run("verify", one, env=env, check=False)
    assert done.returncode == 2 and verdicts(done) == {one: "FAILED"} and "does not match its digest" in done.stdout
    absent = place.run("verify", "h.example/vms/none:1", env=env, check=False)
    assert absent.returncode == 1 and "it is not in" in absent.stderr
    assert "There are no images in" in place.run("verify", "-d", tmp_path / "none", "-o", tmp_path / "none", env=env).stderr


def test_verify_reads_unpacked_disks(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    place.run("clone", "h.example/vms/g:1", "user", env=env)
    (image,) = json.loads(place.run("list", "--json", env=env).stdout)
    shared, own = tmp_path / "vms" / image["digest"], tmp_path / "vms" / vm
    whole = place.run("verify", env=env).stdout
    assert "unpacked for jobs and clones" in whole and "imported" in whole
    for folder, advice in ((shared, "the next job unpacks the image again"), (own, "import the image again")):
        disk = folder / "disk.qcow2"
        flip(disk, disk.stat().st_size - 100000)
        damaged = place.run("verify", "h.example/vms/g:1", env=env, check=False)
        assert damaged.returncode == 2 and f"{folder} are not what was unpacked" in damaged.stdout and advice in damaged.stdout, damaged
        flip(disk, disk.stat().st_size - 100000)
    # Disks of an image that the cache has lost.
    shutil.move(tmp_path / "oci/h.example", tmp_path / "aside")
    assert verdicts(place.run("verify", env=env)) == {str(shared): "ok", str(own): "ok"}
    shutil.move(tmp_path / "aside", tmp_path / "oci/h.example")
    # What another program has unpacked, and what the VM has written to, is told.
    marker = own / ".sarde-image.json"
    value = json.loads(marker.read_text())
    del value["disks"][0]["digest"]
    marker.write_text(json.dumps(value))
    assert "cannot be checked, because another program unpacked them" in place.run("verify", env=env).stdout
    os.utime(own / "disk.qcow2")
    assert "has written to its disks" in place.run("verify", env=env).stdout
    (shared / ".sarde-image.json").write_text("{")
    broken = place.run("verify", env=env, check=False)
    assert broken.returncode == 2 and f"{shared}/.sarde-image.json" in broken.stdout


def test_rm_keeps_disks_that_somebody_wrote_to(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", tmp_path / "vms" / vm / "disk.qcow2"], check=True, capture_output=True)
    refused = place.run("rm", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 1 and "have been changed" in refused.stderr
    place.undefine(vm)
    age(tmp_path / "vms" / vm, 40)
    for blob in (tmp_path / "oci/h.example/vms/g/blobs/sha256").iterdir():
        age(blob, 40)
    assert place.run("prune", "--older-than", "1d", env=env).stdout == "h.example/vms/g:1\n"
    assert (tmp_path / "vms" / vm / "disk.qcow2").exists()


def test_rm_keeps_snapshots_beside_the_disks(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "snapshot-create-as", vm, "snap1", "--disk-only"], check=True)
    refused = place.run("rm", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 1 and "have snapshots" in refused.stderr
    assert (tmp_path / "vms" / vm / "disk.snap1").exists()
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "snapshot-delete", vm, "snap1", "--metadata"], check=True)


def test_rm_wants_the_exact_name(place, tmp_path):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:only", env=env)
    refused = place.run("rm", "h.example/vms/g", env=env, check=False)
    assert refused.returncode == 1 and "the cache has no tag 'latest', but it has 'only'" in refused.stderr
    assert "h.example/vms/g:only" in place.run("list", env=env).stdout
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/h:not-latest", env=env)
    refused = place.run("rm", "h.example/vms/h", env=env, check=False)
    assert refused.returncode == 1 and "the cache has no tag 'latest', but it has 'not-latest'" in refused.stderr


def test_rm_and_prune_leave_an_image_whose_vm_has_its_disks_elsewhere(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "-o", tmp_path / "elsewhere", "h.example/vms/g:1", env=env).stdout.strip()
    refused = place.run("rm", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 1 and f"its VM {vm} has a disk in another place, {tmp_path}/elsewhere/{vm}/disk.qcow2" in refused.stderr
    for blob in (tmp_path / "oci/h.example/vms/g/blobs/sha256").iterdir():
        age(blob, 40)
    assert place.run("prune", "--older-than", "1d", env=env).stdout == ""
    assert vm in place.all_domains() and "h.example/vms/g:1" in place.run("list", env=env).stdout
    # Nor is it unpacked a second time for a VM that is there.
    assert place.run("import", "h.example/vms/g:1", env=env).stdout.strip() == vm
    assert not (tmp_path / "vms").exists() or [path.name for path in (tmp_path / "vms").iterdir() if path.is_dir()] == []


def test_a_name_that_another_vm_has_is_refused(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    (tmp_path / "other.raw").write_bytes(b"x" * 4096)
    define(tmp_path, domain("web", (tmp_path / "other.raw", "raw")))
    refused = place.run("import", "-n", "web", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 1 and f"a VM called 'web' already exists and has other disks ({tmp_path}/other.raw); choose another name with --name" in refused.stderr
    assert refused.stdout == "" and not (tmp_path / "vms/web").exists()


def test_disks_that_were_changed_are_not_taken_for_the_image(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    disk = tmp_path / "vms" / vm / "disk.qcow2"
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", disk], check=True, capture_output=True)
    assert place.run("import", "h.example/vms/g:1", env=env).stdout.strip() == vm  # the VM that there is
    place.undefine(vm)
    refused = place.run("import", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 2 and "have been changed since they were unpacked" in refused.stderr
    assert vm not in place.all_domains() and disk.exists()


def test_a_broken_neighbour_does_not_stop_rm_half_way(place, tmp_path, undefined):
    env = place.store(tmp_path)
    for tag, user in (("1", "a"), ("2", "b")):
        (tmp_path / "config.json").write_text(json.dumps({"users": [{"username": user, "password": user}]}))
        place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", tmp_path / "config.json", "g", f"h.example/vms/g:{tag}", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    broken = next(entry["digest"] for entry in json.loads(place.run("list", "--json", env=env).stdout) if entry["tag"] == "2")
    (tmp_path / "oci/h.example/vms/g/blobs/sha256" / broken[7:]).write_text("{}")
    refused = place.run("rm", "h.example/vms/g:1", env=env, check=False)
    assert refused.returncode == 2 and vm in place.all_domains() and (tmp_path / "vms" / vm / "disk.qcow2").exists()
    removed = place.run("rm", "h.example/vms/g:2", env=env)
    assert removed.stdout == "h.example/vms/g:2\n" and "removing only the tag" in removed.stderr
    assert place.run("rm", "h.example/vms/g:1", env=env).stdout == "h.example/vms/g:1\n"
    assert vm not in place.all_domains()


def test_a_disk_that_a_running_vm_writes_to_is_refused_however_it_is_named(place, tmp_path, undefined):
    env = place.store(tmp_path)
    (tmp_path / "disk.raw").write_bytes(b"\0" * 4096)
    define(tmp_path, domain("runs", (tmp_path / "disk.raw", "raw")))
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "start", "runs"], check=True)
    definition = tmp_path / "definition.xml"
    definition.write_text(domain("other", (tmp_path / "disk.raw", "raw")))
    refused = place.run("export", "--libvirtconfig", definition, "other", "h.example/vms/o:1", env=env, check=False)
    assert refused.returncode == 1 and f"VM 'runs' is running and writes to {tmp_path}/disk.raw" in refused.stderr
    both = place.run("export", "--live", "--libvirtconfig", definition, "runs", "h.example/vms/o:1", env=env, check=False)
    assert both.returncode == 1 and "cannot be combined with --libvirtconfig" in both.stderr
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", "runs"], check=True)
    place.run("export", "--libvirtconfig", definition, "other", "h.example/vms/o:1", env=env)


@pytest.mark.parametrize("size, why", [("1", "the minimum is 64 KiB"), ("64KiB", "more than 10000 layers")])
def test_chunks_too_many_to_name_are_refused(place, tmp_path, size, why):
    disk = tmp_path / "disk.raw"
    with open(disk, "wb") as file:
        for _ in range(660):
            file.write(os.urandom(1 << 20))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    refused = place.run("export", "--compression", "fast", "--chunksize", size, "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=place.store(tmp_path), check=False)
    assert refused.returncode == 1 and why in refused.stderr


def test_settings_for_an_image_are_those_of_its_jobs(place, tmp_path):
    ini = tmp_path / "executor.ini"
    ini.write_text("[DEFAULT]\nquiet = yes\n[h.example/debian*]\nguest-builds-dir = /glob\n")
    env = {"GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES": str(ini)}
    shown = place.run("settings", "--json", "h.example/debian12", env=env)
    assert next(entry for entry in json.loads(shown.stdout) if entry["name"] == "guest-builds-dir")["value"] == "/glob"
    assert shown.stderr == ""
    wrong = place.run("settings", "convrt", ini, env=env, check=False)
    assert wrong.returncode == 1 and "only 'settings convert FILE.ini' takes two arguments" in wrong.stderr


def test_the_base_vm_does_not_write_under_clones(place, tmp_path, undefined):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    vm = place.run("import", "h.example/vms/g:1", env=env).stdout.strip()
    place.run("clone", "h.example/vms/g:1", "twin", env=env)
    below = json.loads(qemu_img("info", "--output=json", tmp_path / "vms/twin/disk.qcow2"))["full-backing-filename"]
    (image,) = json.loads(place.run("list", "--json", env=env).stdout)
    assert vm == image["id"] and pathlib.Path(below).parent.name == image["digest"]
    warned = place.run("clone", "twin", "twin-of-twin", env=env)
    assert "do not start that VM again" in warned.stderr


def test_an_exported_definition_holds_no_password(place, tmp_path, undefined):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" * 4096)
    define(tmp_path, domain("vnc", (disk, "raw"), device="<graphics type='vnc' passwd='hushhush'/>"))
    env = place.store(tmp_path)
    place.run("export", "vnc", "h.example/vms/vnc:1", env=env)
    assert not any(b"hushhush" in blob.read_bytes() for blob in (tmp_path / "oci/h.example/vms/vnc/blobs/sha256").iterdir())


def test_a_backing_file_is_looked_for_from_the_link_as_qemu_does(place, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    qemu_img("create", "-q", "-f", "qcow2", tmp_path / "links/base.qcow2", "8M")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "-u", "top.qcow2", "8M"], cwd=tmp_path / "real", check=True)
    (tmp_path / "links/top.qcow2").symlink_to(tmp_path / "real/top.qcow2")
    (tmp_path / "d.xml").write_text(domain("x", (tmp_path / "links/top.qcow2", "qcow2")))
    place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=place.store(tmp_path))


def age(path, days):
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def test_prune_removes_what_nobody_names_or_uses(place, tmp_path, undefined):
    env = place.store(tmp_path)
    for name in ("old", "new", "used", "job"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"users": [{"username": name, "password": name}]}))
        place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", tmp_path / f"{name}.json", name, f"h.example/vms/{name}:1", env=env)
    place.run("clone", "h.example/vms/used:1", "user", env=env)
    images = {entry["name"].split("/")[-1]: entry for entry in json.loads(place.run("list", "--json", env=env).stdout)}
    for name in ("old", "used", "job"):
        age(tmp_path / f"oci/h.example/vms/{name}/blobs/sha256" / images[name]["digest"][7:], 40)
    age(tmp_path / "vms" / images["used"]["digest"], 40)
    (tmp_path / "jobs/sarde-1-x").mkdir(parents=True)
    (tmp_path / "jobs/sarde-1-x/image").write_text(images["job"]["id"])
    stray = tmp_path / "oci/h.example/vms/new/blobs/sha256" / ("0" * 64)
    fresh = stray.with_name("1" * 64)
    for blob in (stray, fresh):
        blob.write_text("x")
    age(stray, 1)
    dry = json.loads(place.run("prune", "--dry-run", "--json", "--older-than", "30d", env=env).stdout)
    assert dry["images"] == ["h.example/vms/old:1"] and stray.exists()
    assert place.run("prune", "--older-than", "30d", env=env).stdout == "h.example/vms/old:1\n"
    assert not stray.exists() and fresh.exists()
    left = {entry["name"].split("/")[-1] for entry in json.loads(place.run("list", "--json", env=env).stdout)}
    assert left == {"new", "used", "job"}
    assert place.run("prune", "--budget", "1MB", env=env).stdout == ""  # what was made just now may be about to be used
    age(tmp_path / "oci/h.example/vms/new/blobs/sha256" / images["new"]["digest"][7:], 1)
    budget = place.run("prune", "--budget", "1MB", env=env)
    assert budget.stdout == "h.example/vms/new:1\n" and "more than the budget" in budget.stderr
    chain = qemu_img("info", "--backing-chain", tmp_path / "vms/user/disk.qcow2")
    assert "backing file" in chain


def test_a_timer_prunes_nothing_until_a_limit_is_set(place, tmp_path):
    """As sarde-prune.service calls it."""
    settings = tmp_path / "sarde.toml"
    settings.write_text("")
    env = place.store(tmp_path) | {"SARDE_CONF_FILES": str(settings)}
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "old", "h.example/vms/old:1", env=env)
    (entry,) = json.loads(place.run("list", "--json", env=env).stdout)
    blobs = tmp_path / "oci/h.example/vms/old/blobs/sha256"
    age(blobs / entry["digest"][7:], 40)
    stray = blobs / ("0" * 64)
    stray.write_text("x")
    age(stray, 1)
    done = place.run("prune", "--scheduled", env=env)
    assert done.stdout == "" and "neither budget nor older-than is set in [commands.prune]" in done.stderr and stray.exists()
    assert json.loads(place.run("prune", "--scheduled", "--json", env=env).stdout)["images"] == []
    settings.write_text('[commands.prune]\nolder-than = "30d"\n')
    assert place.run("prune", "--scheduled", env=env).stdout == "h.example/vms/old:1\n" and not stray.exists()


def test_a_change_in_the_disk_changes_the_layers_where_it_is(place, tmp_path):
    """And push and fetch carry those alone."""
    disk = tmp_path / "disk.raw"
    with open(disk, "wb") as file:
        for _ in range(192):
            file.write(os.urandom(1 << 20))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    env = place.store(tmp_path)

    def blobs():
        return set((tmp_path / "oci/h.example/vms/x/blobs/sha256").iterdir())

    place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
    first = blobs()
    with open(disk, "r+b") as file:
        file.seek(100 << 20)
        file.write(b"changed")
    place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:2", env=env)
    new = [blob.stat().st_size for blob in blobs() - first]
    assert len(new) == 3  # one layer, config, manifest
    assert sum(new) < 0.2 * sum(blob.stat().st_size for blob in first)


def test_inspect_compares_two_images(place, small_image, tmp_path):
    """What an update costs hosts that have the version before: in the cache, and at a registry."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"".join(os.urandom(1 << 20) for _ in range(192)))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    env = place.store(tmp_path)
    old, new = (f"{place.registry}/vms/compared:{tag}" for tag in (1, 2))
    for tag, image in enumerate((old, new)):
        with open(disk, "r+b") as file:
            file.seek(100 << 20)
            file.write(b"changed" * tag)
        place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", image, env=env)
        place.run("push", image, env=env)
    facts = json.loads(place.run("inspect", new, "--diff", old, "--json", env=env).stdout)
    (one,) = facts["disks"]
    layers = [layer for layer in json.loads(place.run("inspect", new, "--json", env=env).stdout)["layers"] if layer["type"].startswith(("application/x-qemu-disk", "application/octet-stream"))]
    assert (facts["name"], facts["compared_with"]["name"], one["name"], one["new_layers"], one["layers"]) == (new, old, "disk.raw", 1, len(layers))
    assert facts["new_size"] == one["new_size"] and facts["new_size"] + facts["shared_size"] == sum(layer["size"] for layer in layers)
    assert facts["new_size"] in [layer["size"] for layer in layers]
    told = place.run("inspect", new, "--diff", old, env=env).stdout
    (drawn,) = re.findall(r"^  \[([.#]+)\]$", told, re.M)
    assert drawn.count("#") == 1 and 0 < drawn.index("#") < len(drawn) - 1 and len(drawn) == min(64, len(layers)), told
    assert f"1 of {len(layers)} layer(s) are new" in told and "to fetch: " in told
    (tmp_path / "elsewhere").mkdir()
    elsewhere = place.store(tmp_path / "elsewhere")
    assert place.run("inspect", new, "--diff", old, env=elsewhere).stdout == told
    assert [path for path in (tmp_path / "elsewhere/oci").iterdir() if path.name.startswith(".sarde")] == []
    assert json.loads(place.run("inspect", new, "--diff", new, "--json", env=env).stdout)["new_size"] == 0
    # What this host has is compared with what the registry has under the same name; and what occurs twice is fetched once.
    shutil.copy(disk, tmp_path / "copy.raw")
    (tmp_path / "two.xml").write_text(domain("x", ("disk.raw", "raw"), ("copy.raw", "raw")))
    place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "two.xml", "x", old, env=env)
    assert json.loads(place.run("inspect", "--remote", new, "--diff", old, "--json", env=env).stdout)["new_size"] == 0
    place.run("push", old, env=env)
    (tmp_path / "third").mkdir()
    third = place.store(tmp_path / "third")
    twice = json.loads(place.run("inspect", old, "--diff", small_image, "--json", env=third).stdout)
    assert [one["new_layers"] for one in twice["disks"]] == [len(layers), 1]  # the first layer has the disk's name in it
    refused = place.run("inspect", new, "--diff", "", env=env, check=False)
    assert refused.returncode == 1 and "no image is named to compare with" in refused.stderr


def test_times_are_those_of_the_readers_zone(place, small_image, tmp_path):
    created = json.loads(place.run("inspect", small_image, "--json").stdout)["created"]
    utc = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    told = place.run("inspect", small_image, env={"TZ": "ABC-5"}).stdout
    assert f"created       {utc + datetime.timedelta(hours=5):%Y-%m-%d %H:%M:%S} ABC\n" in told, told


def test_a_command_that_is_stopped_leaves_nothing_half_made(place, tmp_path):
    """Each of them in the middle of a large disk; then the same command does it."""
    env = place.store(tmp_path)
    with open(tmp_path / "disk.raw", "wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    image = f"{place.registry}/vms/stopped:1"
    here = {path.name for path in tmp_path.iterdir()}

    def images_and_vms():
        listed = [entry["name"] for entry in json.loads(place.run("list", "--json", env=env).stdout)]
        return listed, [path.name for path in tmp_path.glob("vms/*") if path.suffix != ".lock"], place.all_domains()

    def has_begun(files):
        """Is there a file with something in it that was not there before?"""
        try:
            return any(path not in files and path.is_file() and path.suffix != ".lock" and path.stat().st_size for path in tmp_path.rglob("*"))
        except FileNotFoundError:
            return False  # one has gone meanwhile: look again

    def stop_in_the_middle(*command, undo):
        for _ in range(5):  # it may be done before it is stopped
            before, files = images_and_vms(), set(tmp_path.rglob("*"))
            process = subprocess.Popen([place.program, *map(str, command)], env=place.environment | env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            while process.poll() is None and not has_begun(files):
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            if process.returncode != 0:
                break
            undo()
        assert (process.returncode, out) == (130, "") and err.endswith("ERROR: stopped by SIGINT; no image and no VM is left half made\n"), (out, err)
        assert images_and_vms() == before
        assert [path for path in tmp_path.rglob("*") if path.name.startswith((".incoming", ".sarde", ".new")) and path.suffix != ".lock"] == []
        place.run(*command, env=env)

    def forget_vm():
        place.undefine("stopped-vm")
        shutil.rmtree(tmp_path / "vms")

    stop_in_the_middle("export", "--libvirtconfig", tmp_path / "d.xml", "x", image, undo=lambda: shutil.rmtree(tmp_path / "oci"))
    place.run("push", image, env=env)
    stop_in_the_middle("import", "--name", "stopped-vm", image, undo=forget_vm)
    forget_vm()
    shutil.rmtree(tmp_path / "oci")
    stop_in_the_middle("fetch", image, undo=lambda: shutil.rmtree(tmp_path / "oci"))
    assert {path.name for path in tmp_path.iterdir()} <= here | {"oci", "vms"}


def test_what_commands_did_is_told_as_json(place, tmp_path, undefined):
    env = place.store(tmp_path)
    image = f"{place.registry}/vms/told:1"

    def answer(*arguments):
        return json.loads(place.run(*arguments, "--json", env=env).stdout)

    made = answer("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "told", image)
    facts = answer("inspect", image)
    assert made == {key: facts[key] for key in ("name", "digest", "id", "compressed_size")}
    assert answer("push", "--target", f"{image}0", image) == made | {"name": f"{image}0"}
    assert answer("fetch", "--source", f"{image}0", image) == made
    for number, command in enumerate((("import",), ("pull", "--source", f"{image}0"))):
        vm = answer(*command, "--name", f"told-{number}", image)
        assert vm == {"name": f"told-{number}", "uuid": place.run("import", "--print-uuid", "--name", f"told-{number}", image, env=env).stdout.strip()}
    assert answer("clone", image, "told-clone")["name"] == "told-clone"
    layout = answer("export", "--raw", "--libvirtconfig", place.guest / "domain.xml", "told", tmp_path / "layout")
    assert layout["name"] == str(tmp_path / "layout") and re.fullmatch("sha256:[0-9a-f]{64}", layout["digest"])


def test_settings_are_shown_with_their_origin(place, tmp_path):
    (tmp_path / "sarde.toml").write_text('memory = "2GiB"\npassword = "hush-hush"\n[images."a/*"]\nmemory = "3GiB"\n')
    env = {"SARDE_CONF_FILES": str(tmp_path / "sarde.toml"), "SARDE_VCPUS": "3"}
    text = place.run("settings", env=env).stdout
    assert f"memory = '2GiB'  # {tmp_path}/sarde.toml, line 1" in text
    assert "vcpus = 3  # environment variable SARDE_VCPUS" in text
    (tmp_path / "sections.toml").write_text('[commands.export]\ncompression = "fast"\n')
    sections = {"SARDE_CONF_FILES": str(tmp_path / "sections.toml")}
    assert f"[commands.export]\ncompression = 'fast'  # {tmp_path}/sections.toml, line 2" in place.run("settings", env=sections).stdout
    assert json.loads(place.run("settings", "--json", env=sections).stdout)[-1]["command"] == "export"
    assert "hush" not in text and "# password is set by: " in text
    assert "memory = '3GiB'" in place.run("settings", "a/b", env=env).stdout
    values = {entry["name"]: entry["value"] for entry in json.loads(place.run("settings", "--json", env=env).stdout)}
    assert values["memory"] == "2GiB" and values["password"] is None


def test_a_file_of_sardinecake_works_and_converts(place, tmp_path):
    ini = tmp_path / "gitlab-sardinecake-executor.ini"
    ini.write_text("[DEFAULT]\nclonedir = /clones\nguest-builds-dir = /ini\nodd = 1\n[*/debian*]\nguest_builds_dir = /glob\n")
    home = tmp_path / "home/.config/gitlab-runner"
    home.mkdir(parents=True)
    shutil.copy(ini, home)
    env = {"HOME": str(tmp_path / "home"), "SARDE_CONF_FILES": "", "CI_JOB_ID": "5", "CI_JOB_IMAGE": "x/debian12"}
    answer = place.run("config", env=env)
    assert json.loads(answer.stdout)["builds_dir"] == "/glob"
    toml = place.run("settings", "convert", ini)
    assert "# '" in toml.stdout and "odd" in toml.stdout
    (tmp_path / "converted.toml").write_text(toml.stdout)
    answer = place.run("config", env=env | {"SARDE_CONF_FILES": str(tmp_path / "converted.toml")})
    assert json.loads(answer.stdout)["builds_dir"] == "/glob"
    (tmp_path / "home/.config/sardinecake").mkdir()
    (tmp_path / "home/.config/sardinecake/sarde.toml").write_text("guest-builds-dir = '/toml'\n")
    answer = place.run("config", "-v", env=env)
    assert json.loads(answer.stdout)["builds_dir"] == "/toml" and "is ignored, because there is" in answer.stderr


def test_selftest_reads_all_of_what_jobs_share(place, tmp_path, undefined):
    env = place.store(tmp_path)
    (tmp_path / "disk.raw").write_bytes(os.urandom(3 << 20))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
    place.run("clone", "h.example/vms/x:1", "twin", env=env)
    assert re.search(r"ok +images: 1 unpacked for jobs and clones, .*, all unchanged", place.run("selftest", env=env).stdout)
    (base,) = (tmp_path / "vms").glob("sha256:*/disk.raw")
    flip(base, (2 << 20) + 5)
    told = place.run("selftest", env=env, check=False)
    assert told.returncode == 2 and f"FAILED  images: the disks in {base.parent} have changed since they were unpacked" in told.stdout


def test_selftest(place, tmp_path):
    env = place.store(tmp_path)
    well = place.run("selftest", env=env)
    assert well.stdout.count("ok      ") == 9 and "passt" in well.stdout and well.stderr == ""
    broken = place.run("selftest", "--json", env=env | {"SARDE_CONNECT": "nonsense:///"}, check=False)
    assert broken.returncode == 2
    assert {entry["what"]: entry["ok"] for entry in json.loads(broken.stdout)}["libvirt"] is False


def test_progress_is_a_bar_on_a_terminal(place, tmp_path):
    """script(1) gives the program a terminal."""
    disk = tmp_path / "disk.raw"
    with open(disk, "wb") as file:
        file.write(os.urandom(64 << 20))
        file.truncate(2 << 30)
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    command = f"{place.program} export --libvirtconfig {tmp_path}/d.xml x h.example/vms/x:1"
    shown = subprocess.run(["script", "-qec", command, "/dev/null"], env=place.environment | place.store(tmp_path), capture_output=True).stdout.decode()
    assert "\r\x1b[K  packing disk.raw: " in shown and " MB/s, " in shown and "[#" in shown
    quiet = subprocess.run(["script", "-qec", command + " -q", "/dev/null"], env=place.environment | place.store(tmp_path), capture_output=True, text=True).stdout
    assert quiet.strip() == "h.example/vms/x:1"


def test_imports_share_what_did_not_change(place, tmp_path, undefined):
    """On XFS, in a mount namespace and a loop device of the test's own."""
    if os.geteuid() != 0 or not shutil.which("mkfs.xfs"):
        from conftest import need
        need(False, "mounting XFS needs root and xfsprogs")
    image = tmp_path / "xfs.img"
    with open(image, "wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    mount = tmp_path / "xfs"
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        env = place.store(tmp_path) | {"SARDE_VMDIR": str(mount / "vms")}
        disk = tmp_path / "disk.raw"
        with open(disk, "wb") as file:
            file.write(os.urandom(200 << 20))
        (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
        place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
        with open(disk, "r+b") as file:
            file.seek(100 << 20)
            file.write(b"changed")
        place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:2", env=env)
        place.run("import", "-n", "first", "h.example/vms/x:1", env=env)
        second = place.run("import", "-n", "second", "h.example/vms/x:2", env=env)
        assert "taken from images that were there" in second.stderr, second.stderr
        assert subprocess.run(["cmp", disk, mount / "vms/second/disk.raw"]).returncode == 0
        used = os.statvfs(mount)
        assert (used.f_blocks - used.f_bfree) * used.f_bsize < 330 << 20
        # What was shared is checked like all else: a changed first copy is not taken for what it was.
        before = (mount / "vms/first/disk.raw").stat()
        with open(mount / "vms/first/disk.raw", "r+b") as file:
            file.write(b"not what it was")
        os.utime(mount / "vms/first/disk.raw", ns=(before.st_atime_ns, before.st_mtime_ns))  # nothing to be seen from outside
        place.run("import", "-n", "third", "h.example/vms/x:1", env=env)
        assert (mount / "vms/third/disk.raw").read_bytes()[:15] != b"not what it was"
        assert subprocess.run(["cmp", "-s", mount / "vms/first/disk.raw", mount / "vms/third/disk.raw"]).returncode == 1
    finally:
        for name in ("first", "second", "third"):
            subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", name], capture_output=True)
        subprocess.run(["umount", mount], check=True)


def small(place, tmp_path, *references):
    """An image under these names in the cache of this folder; its environment."""
    env = place.store(tmp_path)
    (tmp_path / "d.raw").write_bytes(os.urandom(5000))
    (tmp_path / "d.xml").write_text(domain("x", ("d.raw", "raw")))
    for reference in references:
        place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", reference, env=env)
    return env


def test_rm_takes_several_names(place, tmp_path):
    env = small(place, tmp_path, "h.example/a:1", "h.example/b:1", "h.example/c:1")
    assert place.run("rm", "h.example/a:1", "h.example/b:1", env=env).stdout.split() == ["h.example/a:1", "h.example/b:1"]
    part = place.run("rm", "h.example/none:1", "h.example/c:1", env=env, check=False)
    assert part.returncode == 1 and "h.example/none" in part.stderr and "removed: h.example/c:1" in part.stderr, part.stderr
    assert place.run("list", env=env).stdout.count("\n") == 1


def test_prune_says_what_it_left_and_why(place, tmp_path, undefined):
    env = small(place, tmp_path, "h.example/new:1")
    place.run("clone", "h.example/new:1", "thin-one", env=env)
    said = place.run("prune", "--older-than", "1s", env=env).stderr
    assert "Left h.example/new:1: it is used by thin-one" in said, said
    place.undefine("thin-one")
    assert "Left h.example/new:1: it was used in the last ten minutes" in place.run("prune", "--older-than", "1s", env=env).stderr
    for path in [*tmp_path.rglob("oci/**/*"), *tmp_path.rglob("vms/**/*"), *(tmp_path / "vms").glob("*")]:
        os.utime(path, (time.time() - 7500,) * 2, follow_symlinks=False)
    said = place.run("prune", "--older-than", "1d", env=env).stderr
    assert re.search("Left h.example/new:1: it was last used 2 h [0-9]+ min ago", said), said


def test_list_shows_who_uses_an_image(place, tmp_path, undefined):
    env = small(place, tmp_path, "h.example/one:1", "h.example/two:1")
    assert "USED BY" not in place.run("list", env=env).stdout
    place.run("import", "-n", "by-name", "h.example/one:1", env=env)
    text = place.run("list", env=env).stdout
    assert re.search("^oci +h.example/one:1 .* missing +by-name$", text, re.M) and "USED BY" in text.splitlines()[0], text
    users = {entry["name"]: entry["users"] for entry in json.loads(place.run("list", "--json", env=env).stdout)}
    assert users["h.example/one"] == ["by-name"]


def test_what_is_up_to_date_is_not_called_fetched(place, tmp_path):
    env = small(place, tmp_path, f"{place.registry}/vms/uptodate:1")
    place.run("push", f"{place.registry}/vms/uptodate:1", env=env)
    assert f"{place.registry}/vms/uptodate:1 is up to date, sha256:" in place.run("fetch", f"{place.registry}/vms/uptodate:1", env=env).stderr
    shutil.rmtree(tmp_path / "oci")
    said = place.run("fetch", "-v", f"{place.registry}/vms/uptodate:1", env=env).stderr
    assert f"Fetched {place.registry}/vms/uptodate:1" in said and re.search(r"  skopeo .*experimental-image-proxy", said), said


def test_a_name_without_a_registry_says_which_one_is_asked(place, tmp_path):
    env = place.store(tmp_path) | {"https_proxy": "http://localhost:1", "HTTPS_PROXY": "http://localhost:1", "SARDE_FETCH_TIMEOUT": "1"}
    for name in ("ubuntu", "localhost:5000", "me/tiny:1"):
        refused = place.run("fetch", name, env=env, check=False)
        assert refused.returncode != 0 and f"fetch '{name}' at docker.io (another registry is named like registry.example.org/" in refused.stderr, refused.stderr


def test_under_its_other_name_export_prints_the_id(place, tmp_path):
    env = place.environment | small(place, tmp_path)
    link = pathlib.Path(place.program).parent / "sarde"
    done = subprocess.run([link, "export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/x:1"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == json.loads(place.run("list", "--json", env=env).stdout)[0]["id"]


def test_which_kind_an_ini_file_is_does_not_hang_on_its_name(place, tmp_path):
    """A file of the executor's with defaults alone looks like one of the commands'."""
    for name in ("executor-things.ini", "plain.ini"):
        ini = tmp_path / name
        ini.write_text("[DEFAULT]\nusername = u\n")
        first = place.run("settings", "convert", ini).stdout.splitlines()[0]
        assert "sardinecake's own commands (--executor: of its GitLab executor)" in first, first
        assert "GitLab executor" in place.run("settings", "convert", "--executor", ini).stdout.splitlines()[0]
        ini.write_text("[DEFAULT]\nusername = u\n[registry.example.org/vms/a]\nusername = v\n")
        assert "because it has sections for images" in place.run("settings", "convert", ini).stdout.splitlines()[0]


def test_minus_v_names_the_files_of_settings(place, tmp_path):
    (tmp_path / "s.toml").write_text("")
    said = place.run("list", "-v", env=place.store(tmp_path) | {"SARDE_CONF_FILES": str(tmp_path / "s.toml")}).stderr
    assert f"settings: {tmp_path}/s.toml" in said, said

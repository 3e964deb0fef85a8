"""Images travel to and from sardinecake 0.4, the real one, in both directions, byte for byte."""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import python_tools
from test_images import chain, define, domain, qemu_img, undefined  # noqa: F401: fixtures


@pytest.fixture(scope="session")
def peer():
    """sardinecake's `sarde`, installed from PyPI beside Debian's python3-libvirt."""
    program = python_tools("sardinecake==0.4.*", folder="peer") / "sarde"

    def run(*arguments, check=True, **options):
        result = subprocess.run([program, "--connect", "qemu:///session", *map(str, arguments)], capture_output=True, text=True, timeout=600, **options)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture
def two_disks(tmp_path, chain, undefined):  # noqa: F811
    """A VM with a backing chain of bare names in one folder, and a raw disk."""
    folder = tmp_path / "vm"
    folder.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", folder / "base.qcow2", "256M")
    # Random data over several of our members and layers, and a hole.
    subprocess.run(["qemu-io", "-c", "write -s /dev/urandom 0 100M", "-c", "write -s /dev/urandom 150M 50M", folder / "base.qcow2"], check=True, capture_output=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "top.qcow2"], cwd=folder, check=True)
    subprocess.run(["qemu-io", "-c", "write -P 9 10M 3M", "top.qcow2"], cwd=folder, check=True, capture_output=True)
    with open(folder / "data.raw", "wb") as file:
        file.write(os.urandom(3 << 20))
        file.truncate(20 << 20)
    define(tmp_path, domain("twodisks", (folder / "top.qcow2", "qcow2"), (folder / "data.raw", "raw")))
    return folder


FILES = ("base.qcow2", "top.qcow2", "data.raw")


def assert_same_disks(wanted, got):
    """`got`: a folder that holds the disks; sardinecake makes none below VMDIR if it is given a name."""
    for name in FILES:
        assert subprocess.run(["cmp", wanted / name, got / name]).returncode == 0, name


@pytest.mark.parametrize("chunksize", [None, "10MiB"])
def test_what_sardinecake_exports_we_import(place, peer, tmp_path, two_disks, chunksize):
    oci = tmp_path / "oci"
    peer("export", "-d", oci, "--vmconfig", place.guest / "vmconfig.json", *(("--chunksize", chunksize) if chunksize else ()), "twodisks", "h.example/vms/two:1")
    env = place.store(tmp_path)
    place.run("import", "-n", "ours", "h.example/vms/two:1", env=env)
    assert_same_disks(two_disks, tmp_path / "vms/ours")
    assert json.loads(place.run("getconfig", "h.example/vms/two:1", env=env).stdout) == json.loads(peer("getconfig", "-d", oci, "h.example/vms/two:1").stdout)
    facts = json.loads(place.run("inspect", "--json", "h.example/vms/two:1", env=env).stdout)
    assert {disk["name"]: disk["backing_file"] for disk in facts["disks"]} == {"base.qcow2": None, "top.qcow2": "base.qcow2", "data.raw": None}
    assert {disk["name"]: disk["size"] for disk in facts["disks"]} == {name: (two_disks / name).stat().st_size for name in FILES}


@pytest.mark.parametrize("options", [(), ("--compression", "fast"), ("--chunksize", "10MiB"), ("--chunksize", "1000001")])
def test_what_we_export_sardinecake_imports(place, peer, tmp_path, two_disks, options):
    env = place.store(tmp_path)
    place.run("export", "--vmconfig", place.guest / "vmconfig.json", *options, "twodisks", "h.example/vms/two:1", env=env)
    manifest_layers = json.loads(place.run("inspect", "--json", "h.example/vms/two:1", env=env).stdout)["layers"]
    assert len(manifest_layers) > 4  # several layers a disk
    vms = tmp_path / "peer-vms"
    vms.mkdir()
    peer("import", "-d", tmp_path / "oci", "-o", vms, "-n", "theirs", "h.example/vms/two:1")
    assert_same_disks(two_disks, vms)
    xml = subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", "theirs"], capture_output=True, text=True, check=True).stdout
    assert str(vms / "top.qcow2") in xml
    assert json.loads(peer("getconfig", "-d", tmp_path / "oci", "h.example/vms/two:1").stdout)["users"][0]["username"] == "runner"


def test_uefi_variables_do_not_disturb_sardinecake(place, peer, tmp_path, undefined):  # noqa: F811
    """A layer of a type of ours; the definition names no file of this VM's."""
    folder = tmp_path / "vm"
    folder.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", folder / "disk.qcow2", "64M")
    (folder / "vars.fd").write_bytes(b"\0" * 40 + b"_FVH" + b"\xff" * 540000)
    definition = tmp_path / "definition.xml"
    definition.write_text(domain("uefi", (folder / "disk.qcow2", "qcow2")).replace("<os>", "<os firmware='efi'>").replace("</os>", f"<nvram>{folder / 'vars.fd'}</nvram></os><features><acpi/></features>"))
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", definition, "uefi", "h.example/vms/uefi:1", env=env)
    assert "uefi-variables" in place.run("inspect", "h.example/vms/uefi:1", env=env).stdout
    vms = tmp_path / "peer-vms"
    vms.mkdir()
    peer("import", "-d", tmp_path / "oci", "-o", vms, "-n", "their-uefi", "h.example/vms/uefi:1")
    assert [path.name for path in vms.iterdir()] == ["disk.qcow2"]
    assert subprocess.run(["cmp", folder / "disk.qcow2", vms / "disk.qcow2"]).returncode == 0
    xml = subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", "--inactive", "their-uefi"], capture_output=True, text=True, check=True).stdout
    assert "firmware='efi'" in xml and "vars.fd" not in xml


def test_a_rewritten_backing_chain_is_imported_by_sardinecake(place, peer, tmp_path, chain, undefined):  # noqa: F811
    define(tmp_path, domain("rewritten", (chain, "qcow2")))
    place.run("export", "rewritten", "h.example/vms/chain:1", env=place.store(tmp_path))
    vms = tmp_path / "peer-vms"
    vms.mkdir()
    peer("import", "-d", tmp_path / "oci", "-o", vms, "-n", "theirs", "h.example/vms/chain:1")
    info = json.loads(qemu_img("info", "--backing-chain", "--output=json", vms / "disk-3.qcow2"))
    assert [pathlib.Path(entry["filename"]).name for entry in info] == ["disk-3.qcow2", "disk-2.qcow2", "disk.qcow2"]
    qemu_img("compare", vms / "disk-3.qcow2", chain)


def test_both_share_a_cache_and_agree_on_what_is_in_it(place, peer, tmp_path, two_disks):
    env = place.store(tmp_path)
    oci = tmp_path / "oci"
    place.run("export", "twodisks", "h.example/vms/ours:1", env=env)
    peer("export", "-d", oci, "twodisks", "h.example/vms/theirs:1")
    peer("export", "-d", oci, "twodisks", "h.example/vms/ours:2")  # into a layout of ours
    place.run("export", "twodisks", "h.example/vms/theirs:2", env=env)  # and the other way
    place.run("import", "h.example/vms/ours:1", env=env)

    def listed(text):
        return sorted(json.loads(text), key=lambda entry: (entry["name"], entry["tag"]))

    ours = listed(place.run("list", "--format", "json", env=env).stdout)
    assert [entry.pop("users") for entry in ours] == [[], [], [], []]  # what it does not know
    assert [entry.pop("saved_states") for entry in ours] == [0, 0, 0, 0] and all(entry.pop("layers_kept") for entry in ours)
    theirs = listed(peer("list", "-d", oci, "--format", "json").stdout)
    assert ours == theirs
    assert [(entry["name"], entry["tag"]) for entry in ours] == [("h.example/vms/ours", "1"), ("h.example/vms/ours", "2"), ("h.example/vms/theirs", "1"), ("h.example/vms/theirs", "2")]
    assert ours[0]["state"] is False


def test_what_sardinecake_unpacked_we_take_over(place, peer, tmp_path, two_disks):
    """Neither unpacks what the other has: names and places are the same."""
    env = place.store(tmp_path)
    (tmp_path / "vms").mkdir()
    place.run("export", "twodisks", "h.example/vms/two:1", env=env)
    name = peer("import", "-d", tmp_path / "oci", "-o", tmp_path / "vms", "h.example/vms/two:1").stdout.strip()
    before = sorted(tmp_path.glob("vms/*"))
    assert place.run("import", "h.example/vms/two:1", env=env).stdout.strip() == name
    assert sorted(path for path in tmp_path.glob("vms/*") if path.is_file() or path.is_dir() and path not in before) == [path for path in before if path.is_file()]
    assert peer("import", "-d", tmp_path / "oci", "-o", tmp_path / "vms", "h.example/vms/two:1").stdout.strip() == name


def test_fetched_by_one_pushed_by_the_other(place, peer, tmp_path, two_disks):
    env = place.store(tmp_path)
    config = tmp_path / "home/.config/containers"
    config.mkdir(parents=True)
    (config / "registries.conf").write_text(f'[[registry]]\nlocation = "{place.registry}"\ninsecure = true\n[[registry]]\nprefix = "peer.example"\nlocation = "{place.registry}"\ninsecure = true\n')
    place.run("export", "twodisks", f"{place.registry}/vms/travels:1", env=env)
    place.run("push", f"{place.registry}/vms/travels:1", env=env)
    peer("fetch", "-d", tmp_path / "theirs", "peer.example/vms/travels:1", env=os.environ | {"HOME": str(tmp_path / "home")})
    vms = tmp_path / "peer-vms"
    vms.mkdir()
    peer("import", "-d", tmp_path / "theirs", "-o", vms, "-n", "theirs", "peer.example/vms/travels:1")
    assert_same_disks(two_disks, vms)
    # With its registry's port, which sardinecake takes for a tag: the layout it makes is found all the same.
    peer("fetch", "-d", tmp_path / "ports", f"{place.registry}/vms/travels:1", env=os.environ | {"HOME": str(tmp_path / "home")})
    place.run("import", "-d", tmp_path / "ports", "-n", "ours", f"{place.registry}/vms/travels:1", env=env)
    assert_same_disks(two_disks, tmp_path / "vms/ours")

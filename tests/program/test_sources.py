"""Where the disks of an exported VM may be, and images that are made of disk files alone."""
import json
import pathlib
import shutil
import subprocess

import pytest

from conftest import need
from fake_runner import bash_script
from test_images import define, domain, qemu_img, undefined  # noqa: F401: fixtures


@pytest.fixture
def vm(place, tmp_path):
    """Exports a definition with these elements in <devices>; what the image has, and what was said."""
    env = place.store(tmp_path)

    def export(devices, *options, check=True, files={}):
        for name, make in files.items():
            make(tmp_path / name)
        path = tmp_path / "definition.xml"
        path.write_text(domain("source", device=devices.replace("@", str(tmp_path))))
        done = place.run("export", "-v", *options, "--libvirtconfig", path, "source", "h.example/v/source:1", env=env, check=check)
        if done.returncode:
            return done.stderr
        facts = json.loads(place.run("inspect", "--format", "json", "h.example/v/source:1", env=env).stdout)
        place.run("clone", "h.example/v/source:1", "of-source", env=env)
        xml = virsh("dumpxml", "--inactive", "of-source")
        place.undefine("of-source")
        shutil.rmtree(tmp_path / "vms" / "of-source")
        return {"said": done.stderr, "disks": {disk["name"]: disk for disk in facts["disks"]}, "xml": xml, "facts": facts}

    return export


def virsh(*arguments):
    return subprocess.run(["virsh", "-q", "-c", "qemu:///session", *arguments], check=True, capture_output=True, text=True).stdout


VOLUME = "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='{pool}' volume='disk.qcow2'/><target dev='vda' bus='virtio'/></disk>"


@pytest.fixture
def pool(place, tmp_path):
    """The folder of a storage pool, 'sources', with one volume, disk.qcow2."""
    folder = tmp_path / "pool"
    folder.mkdir()
    virsh("pool-create-as", "sources", "dir", "--target", folder)
    virsh("vol-create-as", "sources", "disk.qcow2", "8M", "--format", "qcow2")
    yield folder
    virsh("pool-destroy", "sources")


def qcow2(path):
    qemu_img("create", "-q", "-f", "qcow2", path, "8M")


def raw(path):
    path.write_bytes(b"raw disk" + bytes(1 << 20))


DISK = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='@/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>"


def test_drives_are_left_out_and_said(vm):
    made = vm(DISK + "<disk type='file' device='floppy'><source file='@/floppy.img'/><target dev='fda' bus='fdc'/></disk>"
              "<disk type='block' device='cdrom'><driver name='qemu' type='raw'/><source dev='/dev/sr0'/><target dev='sda' bus='sata'/><readonly/></disk>"
              "<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>"
              "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='@/seed.iso'/><target dev='sdc' bus='usb'/><readonly/></disk>",
              files={"disk.qcow2": qcow2, "seed.iso": raw})
    assert list(made["disks"]) == ["disk.qcow2"]
    for said in ("WARNING: left out of the image: fda, a floppy drive", "WARNING: left out of the image: sda, a CD drive of this host", "/seed.iso (--with-cdroms takes it along)",
                 "sdb, an empty CD drive"):
        assert said in made["said"]


def test_cds_are_taken_along_when_asked(vm):
    made = vm(DISK + "<disk type='file' device='cdrom'><source file='@/seed.iso'/><target dev='sdc' bus='usb'/><readonly/></disk>", "--with-cdroms",
              files={"disk.qcow2": qcow2, "seed.iso": raw})
    assert list(made["disks"]) == ["disk.qcow2", "seed.iso"]
    assert "device='cdrom'" in made["xml"] and "bus='usb'" in made["xml"]


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx"])
def test_other_formats_are_converted(vm, form):
    made = vm(f"<disk type='file' device='disk'><driver name='qemu' type='{form}'/><source file='@/disk.{form}'/><target dev='vda' bus='virtio'/></disk>",
              files={f"disk.{form}": lambda path: qemu_img("create", "-q", "-f", form, path, "8M")})
    assert made["disks"]["disk.qcow2"]["virtual_size"] == 8 << 20
    assert f"Converted" in made["said"] and f"({form}) to qcow2" in made["said"]


def test_a_converted_disk_brings_no_file_of_the_host(vm, tmp_path):
    """A VMDK is a text that may name any file as its data."""
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"secret" + bytes(1 << 20))

    def descriptor(path):
        path.write_text('# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
                        f'RW 2048 FLAT "{secret}" 0\nddb.adapterType = "ide"\nddb.geometry.cylinders = "1"\nddb.geometry.heads = "16"\nddb.geometry.sectors = "63"\n')

    said = vm("<disk type='file' device='disk'><driver name='qemu' type='vmdk'/><source file='@/disk.vmdk'/><target dev='vda' bus='virtio'/></disk>", check=False, files={"disk.vmdk": descriptor})
    assert "reads from" in said and "not in its folder" in said


@pytest.mark.parametrize("backing", ['json:{"driver":"raw","file":{"driver":"file","filename":"\\u002fetc\\u002fhostname"}}', "fat:.", "nbd:127.0.0.1:9", "base.img", "/etc/hostname"])
@pytest.mark.parametrize("form", ["qed", "qcow2"])
def test_no_backing_file_of_a_downloaded_disk_brings_one_of_the_host(place, tmp_path, form, backing):
    """Nor is it opened before it is looked at."""
    raw(tmp_path / "base.img")
    disk = tmp_path / f"disk.{form}"
    qemu_img("create", "-q", "-u", "-f", form, "-F", "raw", "-b", backing, disk, "1M")
    done = place.run("export", "--disk", disk, "h.example/v/evil:1", env=place.store(tmp_path), check=False, cwd=tmp_path)
    if (form, backing) == ("qcow2", "base.img"):
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and ("not in its folder" in done.stderr or "which is no" in done.stderr), done.stderr


def test_a_disk_that_a_running_vm_has_as_a_volume_is_refused(place, tmp_path, pool, undefined):  # noqa: F811
    define(tmp_path, domain("writes", device=VOLUME.format(pool="sources")))
    virsh("start", "writes")
    done = place.run("export", "--disk", pool / "disk.qcow2", "h.example/v/torn:1", env=place.store(tmp_path), check=False)
    assert done.returncode == 1 and "VM 'writes' is running and writes to" in done.stderr
    virsh("destroy", "writes")


def test_a_raw_disk_needs_no_driver(vm):
    made = vm("<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>", files={"disk.img": raw})
    assert "type='raw'" in made["xml"] or "<format type='raw'/>" in made["xml"]


def test_a_qcow2_header_in_a_disk_of_unknown_format_is_not_believed(vm):
    """The guest may have written it, to have any file of the host exported."""
    said = vm("<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>", check=False, files={"disk.img": qcow2})
    assert "whose format the VM's definition does not say" in said


@pytest.mark.parametrize("source, address", [
    ("protocol='rbd' name='pool/image'><host name='ceph'/></source>", "rbd:pool/image"),
    ("protocol='nbd' name='export'><host name='h' port='10809'/></source>", "nbd://h:10809/export"),
    ("protocol='https' name='/a/b.qcow2'><host name='h'/></source>", "https://h/a/b.qcow2"),
    ("protocol='iscsi' name='iqn.2013-07.com.example:x/1'><host name='h' port='3260'/></source>", "iscsi://h:3260/iqn.2013-07.com.example:x/1")])
def test_disks_on_servers_are_refused_with_what_helps(vm, source, address):
    said = vm(DISK + f"<disk type='network' device='disk'><source {source}<target dev='vdb' bus='virtio'/></disk>", check=False, files={"disk.qcow2": qcow2})
    assert f"'qemu-img convert -O qcow2 {address} vdb.qcow2' makes a file of it" in said


def test_a_volume_of_a_pool_is_exported_by_its_path(vm, pool):
    volume = VOLUME.format(pool="sources")
    assert vm(volume)["disks"]["disk.qcow2"]["virtual_size"] == 8 << 20
    missing = vm(volume.replace("volume='disk.qcow2'", "volume='none'"), check=False)
    assert "find volume 'none' of pool 'sources'" in missing


def test_a_block_device_is_read_as_a_raw_file(vm, tmp_path):
    disk = tmp_path / "device.raw"
    disk.write_bytes(b"block device" + bytes((1 << 20) - 12))
    loop = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True)
    need(loop.returncode == 0, f"this machine has no loop devices: {loop.stderr.strip()}")
    device = loop.stdout.strip()
    try:
        name = pathlib.Path(device).name + ".raw"
        made = vm(f"<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='{device}'/><target dev='vda' bus='virtio'/></disk>")
        assert made["disks"][name]["size"] == 1 << 20
        (unpacked,) = (tmp_path / "vms").glob(f"*/{name}")
        assert unpacked.read_bytes() == disk.read_bytes()
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("hypervisor", ["xen", "lxc", "vmware"])
def test_other_hypervisors_vms_are_refused_in_words(place, tmp_path, hypervisor):
    path = tmp_path / "definition.xml"
    path.write_text(domain("foreign", ("/nonexistent/disk.vmdk", "vmdk")).replace("type='qemu'", f"type='{hypervisor}'"))
    done = place.run("export", "--libvirtconfig", path, "foreign", "h.example/v/f:1", env=place.store(tmp_path), check=False)
    assert done.returncode == 1 and f"the domain is for the hypervisor '{hypervisor}', not for QEMU; convert the VM first" in done.stderr


@pytest.mark.parametrize("os", ["<os><type arch='x86_64' machine='pc-q35-rhel9.4.0'>hvm</type></os>",
                                "<os><type arch='x86_64' machine='pc-1.0'>hvm</type></os>",
                                "<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/edk2/ovmf/OVMF_CODE.fd</loader><nvram>/var/lib/libvirt/qemu/nvram/a_VARS.fd</nvram></os>"])
def test_other_distributions_vms_are_imported_and_start(place, tmp_path, undefined, os):  # noqa: F811
    """A machine type, an emulator, a firmware and a network that this host does not have."""
    env = place.store(tmp_path)
    qcow2(tmp_path / "disk.qcow2")
    path = tmp_path / "definition.xml"
    path.write_text(domain("foreign", (tmp_path / "disk.qcow2", "qcow2"), device="<emulator>/usr/libexec/qemu-kvm</emulator><interface type='network'><source network='nowhere'/><mtu size='1400'/></interface><interface type='network'><source network='elsewhere'/></interface>")
                    .replace("<os><type arch='x86_64' machine='q35'>hvm</type></os>", os).replace("type='qemu'", "type='kvm'", 1).replace("<devices>", "<cpu mode='host-passthrough' check='none' migratable='on'/><clock offset='utc' adjustment='reset'/><devices>"))
    place.run("export", "--libvirtconfig", path, "foreign", "h.example/v/f:1", env=env)
    done = place.run("import", "--name", "imported-foreign", "h.example/v/f:1", env=env)
    assert "libvirt has no network 'nowhere' here" in done.stderr and "libvirt has no network 'elsewhere' here" in done.stderr
    virsh("start", "imported-foreign")
    virsh("destroy", "imported-foreign")
    if "loader" in os:
        virsh("undefine", "--nvram", "imported-foreign")


def test_what_a_job_would_refuse_or_lose_is_said_at_export(vm):
    hostdev = DISK + "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='0' function='0'/></source></hostdev>"
    said = vm(hostdev, "--strict", check=False, files={"disk.qcow2": qcow2})
    assert "WARNING: jobs cannot run in this image: the image's domain requests host resources" in said and "--strict was given" in said
    cards = DISK + "<interface type='user'/><interface type='user'/><graphics type='vnc'/>"
    made = vm(cards)
    assert "WARNING: a job's VM will not have: devices/interface, but for the first" in made["said"]
    assert "will not need: devices/graphics" in made["said"]
    assert made["facts"]["jobs"] == {"refused": None, "not_taken_over": ["devices/interface, but for the first"]}
    assert "--strict was given" in vm(cards, "--strict", check=False)
    vm(DISK + "<interface type='user'/><graphics type='vnc'/>", "--strict")


def test_a_disk_file_becomes_an_image_and_runs_a_job(place, tmp_path):
    """Two commands, as in the README."""
    env = place.store(tmp_path)
    reference = f"{place.registry}/vms/bare:1"
    made = place.run("export", "--disk", place.guest / "disk.qcow2", "--memory", "256MiB", "--vcpus", "1", "--vmconfig", place.guest / "vmconfig.json", "--compression", "fast", reference, env=env)
    assert "WARNING" not in made.stderr and f"Exported the disks as {reference}" in made.stderr
    place.run("push", reference, env=env)
    with place.runner(**env).job(job_id=7400, image=reference) as job:
        assert job.prepare(), job.result.text
        assert job.run_script(bash_script("echo from a bare disk")).stdout == b"from a bare disk\n"


def test_bare_disks_may_be_several_and_of_any_format(place, tmp_path, undefined):  # noqa: F811
    env = place.store(tmp_path)
    qcow2(tmp_path / "first.qcow2")
    raw(tmp_path / "second.img")
    qemu_img("create", "-q", "-f", "vmdk", tmp_path / "third.vmdk", "8M")
    place.run("export", *(word for name in ("first.qcow2", "second.img", "third.vmdk") for word in ("--disk", tmp_path / name)), "--firmware", "uefi", "--arch", "aarch64", "h.example/v/several:1", env=env)
    facts = json.loads(place.run("inspect", "--format", "json", "h.example/v/several:1", env=env).stdout)
    assert [disk["name"] for disk in facts["disks"]] == ["first.qcow2", "second.img", "third.qcow2"]
    assert facts["architecture"] == "aarch64"
    place.run("clone", "h.example/v/several:1", "several", env=env)
    xml = virsh("dumpxml", "--inactive", "several")
    assert "machine='virt" in xml and "firmware='efi'" in xml and "vdc" in xml


@pytest.mark.parametrize("arguments, said", [
    (["--disk", "@/none.qcow2", "h.example/v/x:1"], "there is no file"),
    (["--disk", "@/overlay.qcow2", "h.example/v/x:1"], "not in its folder"),
    (["--disk", "@/disk.qcow2", "--arch", "vax", "h.example/v/x:1"], "architecture 'vax'"),
    (["--disk", "@/disk.qcow2", "--live", "h.example/v/x:1"], "without --live"),
    (["--disk", "@/disk.qcow2", "--firmware", "open", "h.example/v/x:1"], "bios")])
def test_bare_disks_that_are_none(place, tmp_path, arguments, said):
    qcow2(tmp_path / "disk.qcow2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    qcow2(elsewhere / "base.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", elsewhere / "base.qcow2", tmp_path / "overlay.qcow2")
    done = place.run("export", *(word.replace("@", str(tmp_path)) for word in arguments), env=place.store(tmp_path), check=False)
    assert done.returncode == 1 and said in done.stderr, done.stderr

"""VMs that boot by UEFI, and a TPM: exported, pushed, pulled elsewhere, and run as jobs."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import TOP, need, python_tools
from fake_runner import bash_script

TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
VARIABLES = "application/vnd.sarde-executor.uefi-variables.v1.gz"


@pytest.fixture(scope="module")
def guests(place):
    """Two guests: one that firmware finds by itself, one that only an entry in its variables leads to."""
    need(pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd").exists(), "ovmf is not installed")
    need(shutil.which("mcopy") and pathlib.Path("/usr/lib/grub/x86_64-efi").exists(), "mtools or grub-efi-amd64-bin is not installed")
    tools = python_tools("virt-firmware==25.*")
    made = {}
    for name, loader in (("found", "EFI/BOOT/BOOTX64.EFI"), ("entry", "EFI/small/grubx64.efi")):
        made[name] = place.folder / f"uefi-{name}"
        subprocess.run([TOP / "tests/guest/uefi", place.guest, made[name], loader], check=True,
                       env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"})
    return made


@pytest.fixture(scope="module")
def images(place, guests):
    need(shutil.which("swtpm"), "swtpm is not installed")
    domain = guests["entry"] / "domain.xml"
    domain.write_text(domain.read_text().replace("</devices>", TPM + "</devices>"))
    return {name: place.publish(f"uefi-{name}", folder=folder) for name, folder in guests.items()}


def layers_of(place, image, **options):
    return [layer["type"] for layer in json.loads(place.run("inspect", "--format", "json", image, **options).stdout)["layers"]]


def test_uefi_guests_run_as_jobs(place, images, tmp_path):
    """Pulled into a store of their own. Both loaders are unsigned: firmware that Secure Boot is on in would not start them."""
    env = place.store(tmp_path)

    def run(number):
        name = list(images)[number]
        with place.runner('boot-timeout = "3m"\n', **env).job(job_id=7300 + number, image=images[name]) as job:
            assert job.prepare(), job.result.text
            shown = job.run_script(bash_script("ls -d /sys/firmware/efi; ls -d /sys/firmware/acpi/tables/TPM2 2>/dev/null || true")).stdout.decode()
            return name, shown.split(), job.result.text

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = {name: (shown, text) for name, shown, text in pool.map(run, range(2))}
    assert results["found"][0] == ["/sys/firmware/efi"]
    assert results["entry"][0] == ["/sys/firmware/efi", "/sys/firmware/acpi/tables/TPM2"], results["entry"][1]
    assert "another build" not in results["entry"][1]
    assert VARIABLES in layers_of(place, images["entry"], env=env)
    assert VARIABLES not in layers_of(place, images["found"], env=env)


def test_imported_and_cloned_vms_have_their_own_variables(place, guests, images, tmp_path):
    env = place.store(tmp_path)
    original = (guests["entry"] / "nvram.fd").read_bytes()
    name = place.run("pull", images["entry"], env=env).stdout.strip()
    for clone, source in (("uefi-of-vm", name), ("uefi-of-image", images["entry"])):
        place.run("clone", source, clone, env=env)
    names = [name, "uefi-of-vm", "uefi-of-image"]
    try:
        files = []
        for vm in names:
            xml = subprocess.run(["virsh", "-q", "-c", "qemu:///session", "dumpxml", "--inactive", vm], capture_output=True, text=True, check=True).stdout
            file = xml.split("<nvram", 1)[1].split(">", 1)[1].split("<", 1)[0]
            assert pathlib.Path(file).read_bytes() == original
            files.append(file)
        assert len(set(files)) == 3
        # A VM exported again takes them along.
        place.run("export", name, "h.example/uefi/again:1", env=env)
        assert VARIABLES in layers_of(place, "h.example/uefi/again:1", env=env)
    finally:
        for vm in names:
            subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", "--nvram", vm], check=True)


def test_a_loader_that_nothing_leads_to_is_told_at_export(place, guests, tmp_path):
    env = place.store(tmp_path)
    for name, is_warned in (("entry", True), ("found", False)):
        done = place.run("export", "--firmware", "uefi", "--compression", "fast", "--disk", guests[name] / "disk.qcow2", f"h.example/uefi/{name}:1", env=env)
        assert ("'grub-install --removable'" in done.stderr) == is_warned, done.stderr
    assert not list((tmp_path / "vms").glob(".incoming*"))


def test_variables_of_another_firmware_are_left_out(place, guests, tmp_path):
    folder = tmp_path / "guest"
    shutil.copytree(guests["entry"], folder)
    shutil.copy("/usr/share/OVMF/OVMF_VARS.fd", folder / "nvram.fd")  # of the 2 MB build; libvirt takes the 4 MB one
    image = place.publish("uefi-small-variables", folder=folder)
    said = place.run("clone", image, "uefi-other-build", env=place.store(tmp_path)).stderr
    place.undefine("uefi-other-build")
    assert "for another build of the firmware than this host's (540.7 kB)" in said


@pytest.mark.parametrize("position", ["first", "between", "last"])
def test_unknown_layers_are_skipped(place, small_image, tmp_path, position):
    """As the format grows: an image with a layer of a type that nobody knows is imported all the same."""
    layout = tmp_path / "layout"
    place.run("export", "--raw", "--compression", "fast", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "x", layout)
    unknown = add_layer(layout, b"of the future", "application/vnd.sarde-executor.next.v1", {"first": 0, "between": 1, "last": 99}[position])
    env = place.store(tmp_path)
    done = place.run("import", "-v", "--raw", "--name", f"unknown-{position}", layout, env=env)
    place.undefine(f"unknown-{position}")
    assert (tmp_path / "vms" / f"unknown-{position}" / "disk.qcow2").exists()
    assert f"Skipped a layer of the unknown type '{unknown}'" in done.stderr


def add_layer(layout, content, kind, place_in_list):
    """Adds a layer to a layout's image, with its diff_id and history."""
    import hashlib

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    index = json.loads((layout / "index.json").read_text())
    read = lambda descriptor: json.loads((layout / "blobs/sha256" / descriptor["digest"].split(":")[1]).read_bytes())
    manifest = read(index["manifests"][-1])
    config = read(manifest["config"])
    # Before the chunks of one file there is one diff_id.
    files = [number for number, layer in enumerate(manifest["layers"]) if ";chunk=" not in layer["mediaType"]] + [len(manifest["layers"])]
    at = min(place_in_list, len(files) - 1)
    manifest["layers"].insert(files[at], put(content) | {"mediaType": kind})
    config["rootfs"]["diff_ids"].insert(at, put(content)["digest"])
    config["history"].insert(at, {"created": config["created"], "created_by": "the future"})
    manifest["config"] |= put(json.dumps(config).encode())
    index["manifests"][-1] |= put(json.dumps(manifest).encode())
    (layout / "index.json").write_text(json.dumps(index))
    return kind


def test_an_arm_guest_runs_a_job(place, tmp_path):
    """Emulated, made of a disk file, through the host's UEFI firmware for ARM."""
    need(pathlib.Path("/usr/share/AAVMF/AAVMF_VARS.fd").exists() and shutil.which("qemu-system-aarch64"), "qemu-system-arm or qemu-efi-aarch64 is not installed")
    need(shutil.which("mcopy"), "mtools is not installed")
    guest = TOP / "build/guest-aarch64"
    subprocess.run([TOP / "tests/guest/aarch64", guest], check=True, timeout=300)
    env = place.store(tmp_path)
    image = f"{place.registry}/vms/aarch64:1"
    place.run("export", "--disk", guest / "disk.img", "--arch", "aarch64", "--firmware", "uefi", "--memory", "512MiB", "--vcpus", "1", "--compression", "fast",
              "--vmconfig", guest / "vmconfig.json", image, env=env)
    place.run("push", image, env=env)
    config = 'shell = "sh"\nboot-timeout = "5m"\nplatform = "linux/arm64"\n'
    with place.runner(config, **env).job(job_id=7310, image=image) as job:
        assert job.prepare(), job.result.text
        assert job.run_script(b"#!/bin/sh\nuname -m; ls -d /sys/firmware/efi\n").stdout == b"aarch64\n/sys/firmware/efi\n"

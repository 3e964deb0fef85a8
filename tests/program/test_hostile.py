"""Images that attack are refused, each with its own sentence, before libvirt or QEMU is asked for anything."""
import os
import resource
import subprocess
import sys
import unicodedata

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "tests/hostile"))
from images import ATTACKS, DROPPED, HOSTS_FAULT, Image, with_device, xml  # noqa: E402


def prepare(place, tmp_path, image):
    """What `prepare` says to an image in the cache. Whoever asks libvirt hears that there is none."""
    image.write(tmp_path / "oci/h.example/hostile", "1")
    env = place.store(tmp_path) | {"SARDE_CONNECT": "qemu+unix:///session?socket=/nonexistent", "SARDE_PULL_POLICY": "never", "SARDE_MAX_IMAGE": "256MiB",
                                   "CI_JOB_ID": "1", "CI_JOB_IMAGE": "h.example/hostile:1", "PATH": os.environ["PATH"]}
    return subprocess.run([place.program, "prepare"], env=place.environment | env, capture_output=True, timeout=60)


def is_harmless(line):
    """Nothing that a terminal, a browser or GitLab would act upon."""
    text = line.decode("utf-8")
    return all(unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn") for c in text) and "section_start:" not in text and len(line) < 5000


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(place, tmp_path, request, attack):
    image, sentence = ATTACKS[attack]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = prepare(place, tmp_path, image)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = result.stderr.decode("utf-8")
    assert result.returncode == (2 if attack in HOSTS_FAULT else 1) and sentence in said, said[-1500:]
    assert all(is_harmless(line) for line in result.stderr.splitlines()), said
    assert "libvirt at" not in said
    if not request.config.getoption("--slow"):
        assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 2, "processor time"
    assert not list((tmp_path / "jobs").iterdir())
    unpacked = [path.name for path in (tmp_path / "vms").glob("*") if path.is_dir()] if (tmp_path / "vms").exists() else []
    assert not [name for name in unpacked if name.startswith(".")], unpacked
    outside = {path.name for path in tmp_path.iterdir()} - {"oci", "vms", "jobs"}
    assert outside == set()


@pytest.mark.parametrize("what", DROPPED)
def test_what_a_job_does_not_get_is_no_reason_to_refuse(place, tmp_path, what):
    """Judged, and on the way to libvirt. That nothing of it gets into the VM is the unit tests' to show (domain xml)."""
    passed = prepare(place, tmp_path, DROPPED[what])
    assert passed.returncode == 2 and b"connect to libvirt" in passed.stderr, passed.stderr


def test_allow_devices_is_named_only_where_it_helps(place, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert b"allow-devices" in prepare(place, tmp_path / "one", with_device("<hostdev mode='subsystem' type='pci'/>")).stderr
    command_line = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-x'/></qemu:commandline>"
    assert b"allow-devices" not in prepare(place, tmp_path / "two", Image(domain=xml(tail=command_line).encode())).stderr


def test_a_forbidden_device_is_refused_before_a_disk_is_unpacked(place, tmp_path):
    refused = prepare(place, tmp_path, with_device("<hostdev mode='subsystem' type='pci'/>"))
    assert refused.returncode == 1 and b"<devices/hostdev>" in refused.stderr
    assert b"Unpacked" not in refused.stderr and not [path for path in (tmp_path / "vms").glob("*") if path.is_dir()]


def test_there_are_enough_of_them_and_an_honest_one_passes(place, tmp_path):
    assert len(ATTACKS) >= 180
    honest = prepare(place, tmp_path, Image())
    assert honest.returncode == 2 and b"connect to libvirt" in honest.stderr


def test_the_table_of_attacks_is_what_the_script_makes():
    made = subprocess.run(["/usr/bin/python3", TOP / "tests/hostile/table"], capture_output=True, text=True, check=True).stdout
    assert made == (TOP / "docs/security.md").read_text(), "run tests/hostile/table --write"

"""Images that attack are refused, each with its own sentence, before libvirt or QEMU is asked for anything."""
import os
import re
import sys

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "tests/hostile"))
from images import ATTACKS, HOSTS_FAULT, Image  # noqa: E402


def prepare(place, tmp_path, image):
    """What `prepare` says to an image in the cache. Whoever asks libvirt hears that there is none."""
    image.write(tmp_path / "oci/h.example/hostile", "1")
    env = place.store(tmp_path) | {"SARDE_CONNECT": "qemu+unix:///session?socket=/nonexistent", "SARDE_PULL_POLICY": "never", "SARDE_MAX_IMAGE": "256MiB",
                                   "CI_JOB_ID": "1", "CI_JOB_IMAGE": "h.example/hostile:1", "PATH": os.environ["PATH"]}
    return place.run("prepare", env=env, check=False)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(place, tmp_path, attack):
    image, sentence = ATTACKS[attack]
    result = prepare(place, tmp_path, image)
    assert result.returncode == (2 if attack in HOSTS_FAULT else 1) and sentence in result.stderr, result.stderr[-1500:]
    assert "libvirt at" not in result.stderr
    assert not list((tmp_path / "jobs").iterdir())
    unpacked = [path.name for path in (tmp_path / "vms").glob("*") if path.is_dir()] if (tmp_path / "vms").exists() else []
    assert not [name for name in unpacked if name.startswith(".")], unpacked
    outside = {path.name for path in tmp_path.iterdir()} - {"oci", "vms", "jobs"}
    assert outside == set()


def test_there_are_enough_of_them_and_an_honest_one_passes(place, tmp_path):
    assert len(ATTACKS) >= 60
    honest = prepare(place, tmp_path, Image())
    assert honest.returncode == 2 and "connect to libvirt" in honest.stderr


def test_the_table_of_attacks_is_complete():
    listed = set(re.findall(r"^\| ([^|]+?) \|", (TOP / "docs/security.md").read_text(), re.M))
    assert set(ATTACKS) - listed == set()

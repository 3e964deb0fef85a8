"""Whatever ends a stage, and not only what the program itself throws: what it made is gone, and the cause is told."""
import json
import random
import subprocess
import time

import pytest

from fake_runner import bash_script
from standin import Standin


@pytest.fixture
def standin(place, tmp_path):
    world = Standin(place, tmp_path / "world")
    world.image = world.publish(random.Random(1), "one", [256])
    return world


@pytest.mark.parametrize("failure", ["fail-memory", "fail-files"])
def test_what_the_standard_library_throws_rolls_back(standin, failure):
    (standin.domains / failure).write_text("")
    with standin.runner().job(job_id=41, image=standin.image) as job:
        assert job.config().code == 0
        result = job.call("prepare")
        assert result.code == 2 and "ERROR: " in job.result.text and "Started VM" in job.result.text
        assert standin.violations() == [] and list(standin.jobs.iterdir()) == []


def test_the_cause_is_told_where_libvirt_is_away_too(standin):
    """The script's connection dies, and libvirt cannot be asked whether the VM is still there: the connection is the news."""
    with standin.runner().job(job_id=42, image=standin.image) as job:
        assert job.prepare(), job.result.text
        stage = job.start_script(bash_script("echo started; sleep 60"))
        deadline = time.monotonic() + 20
        while b"started" not in stage.out and time.monotonic() < deadline:
            time.sleep(0.05)
        (standin.domains / "fail-state").write_text("")
        subprocess.run(["kill", "-9", str(standin.guest_pid(job.settings["hostname"]))], check=True)
        result = job.finish_script(stage)
        assert result.code == 2 and b"the connection to the VM was lost" in result.stderr and b"libvirt is away" not in result.stderr, result.stderr
        (standin.domains / "fail-state").unlink()


def test_answers_are_harmless_and_valid_whatever_the_cache_holds(standin):
    """Other programs, too, put names into a cache: a tag may hold any text."""
    evil = "1\u202e\u009b31m\x1b[2J"
    (index,) = (standin.folder / "source/oci").rglob("index.json")
    entries = json.loads(index.read_text())
    entries["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = evil
    index.write_text(json.dumps(entries))
    env = {"SARDE_OCIDIR": str(standin.folder / "source/oci")}
    for command in (("list",), ("list", "--json"), ("prune", "--older-than", "1s", "--dry-run")):
        said = standin.run(*command, env=env)
        assert all(c == "\n" or c.isprintable() for c in said.stdout + said.stderr), (command, said)
    assert json.loads(standin.run("list", "--json", env=env).stdout)[0]["tag"] == evil

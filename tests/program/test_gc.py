"""What jobs leave when processes die, and that gc and the next prepare take it away, and nothing else."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from fake_runner import bash_script
from test_images import define, domain, undefined  # noqa: F401: a fixture


def metadata(name, element):
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "metadata", name, "urn:sarde-executor:job:1", "--key", "sarde", "--set", element], check=True)


def passt_of(folder):
    found = subprocess.run(["pgrep", "-f", f"passt.*{folder}/network"], capture_output=True, text=True)
    return found.stdout.split()


def start_and_kill_prepare(place, job, until):
    """Kills `prepare` as soon as its log has this; the job's folder."""
    stage = job.start("prepare", logged=True)
    deadline = time.monotonic() + 60
    while until not in stage.err.decode() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert until in stage.err.decode()
    os.killpg(stage.process.pid, signal.SIGKILL)
    stage.process.wait()
    return place.jobs / job.settings["hostname"]


def test_a_prepare_that_was_killed_leaves_nothing_after_gc(place, small_image):
    with place.runner().job(job_id=601, image=small_image) as job:
        job.config()
        folder = start_and_kill_prepare(place, job, "Started VM")
        assert place.domains() == [folder.name]
        assert passt_of(folder)
        dry = place.run("gc", "--dry-run", "--json")
        assert json.loads(dry.stdout)["jobs"] == [folder.name] and place.domains() == [folder.name]
        said = place.run("gc")
        assert said.stdout == f"{folder.name}\n" and "its prepare was killed" in said.stderr
        place.assert_nothing_left()
        assert not passt_of(folder)


RUNNER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from fake_runner import FakeRunner
import os
job = FakeRunner(sys.argv[2], os.environ).job(job_id=int(sys.argv[3]), image=sys.argv[4])
assert job.prepare(), job.result.text
print(job.settings["hostname"], job.response_file, flush=True)
time.sleep(600)
"""


def test_the_job_of_a_runner_that_is_gone(place, small_image):
    """The runner dies, or throws the job's files away without a cleanup that came to its end: a VM lives on, until the next gc."""
    arguments = ["/usr/bin/python3", "-c", RUNNER, pathlib.Path(__file__).parents[1] / "support", place.program]
    environment = place.environment | {"SARDE_PULL_POLICY": "if-not-present"}
    with subprocess.Popen([*arguments, "604", small_image], env=environment, stdout=subprocess.PIPE, text=True) as dies, \
         subprocess.Popen([*arguments, "605", small_image], env=environment, stdout=subprocess.PIPE, text=True) as forgets:
        first, _ = dies.stdout.readline().split()
        second, response_file = forgets.stdout.readline().split()
        assert place.run("gc").stdout == "" and sorted(place.domains()) == sorted([first, second])
        dies.kill()
        dies.wait()
        assert "its runner is gone" in place.run("gc").stderr and place.domains() == [second]
        os.unlink(response_file)
        assert "its runner is done with it" in place.run("gc").stderr
        place.assert_nothing_left()
        assert not passt_of(place.jobs / first) and not passt_of(place.jobs / second)
        forgets.kill()


def test_a_vm_whose_folder_is_gone(place, small_image):
    with place.runner().job(job_id=606, image=small_image) as job:
        assert job.prepare(), job.result.text
        folder = place.jobs / job.settings["hostname"]
        shutil.rmtree(folder)
        assert "its folder is gone" in place.run("gc").stderr
        assert place.domains() == []


def test_gc_and_jobs_that_run(place, small_image, tmp_path, undefined):  # noqa: F811
    """A running job is left alone, one whose VM is gone and one whose time is over are not; nor is anybody else's VM touched."""
    (tmp_path / "disk.raw").write_bytes(b"\0" * 4096)
    tmp_path.chmod(0o755)
    define(tmp_path, domain("somebody-elses", (tmp_path / "disk.raw", "raw")))
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "start", "somebody-elses"], check=True)
    with place.runner().job(job_id=602, image=small_image) as job:
        assert job.prepare(), job.result.text
        folder = place.jobs / job.settings["hostname"]
        then = time.time() - 100000
        os.utime(folder, (then, then))
        # The date has been set to years later since: the uptime tells.
        uptime, boot = int(float(pathlib.Path("/proc/uptime").read_text().split()[0])), pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        metadata(folder.name, f"<job id='602' expires='1' boot='{boot}' expires-uptime='{uptime + 1000}' folder='{folder}'/>")
        assert place.run("gc").stdout == ""
        assert job.run_script(bash_script("echo still here")).code == 0
        metadata(folder.name, f"<job id='602' expires='{int(time.time()) + 100000}' boot='{boot}' expires-uptime='{uptime - 1}' folder='{folder}'/>")
        # The next job's prepare does it, too.
        with place.runner().job(job_id=603, image=small_image) as other:
            assert other.prepare(), other.result.text
            assert f"Removing what another job left behind, {folder.name}: its time is over" in other.result.text
            assert place.domains() == [other.settings["hostname"]]
            other_folder = place.jobs / other.settings["hostname"]
            subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", other.settings["hostname"]], check=True)
            assert place.run("gc").stdout == ""  # its runner will clean up
            (other_folder / "owner").unlink()
            assert "its VM is gone" in place.run("gc").stderr
    place.assert_nothing_left()
    assert subprocess.run(["virsh", "-q", "-c", "qemu:///session", "domstate", "somebody-elses"], capture_output=True, text=True).stdout.strip() == "running"


@pytest.mark.parametrize("name", ["sarde-7-0123abcd", "web"])
def test_a_vm_that_only_says_that_it_is_a_jobs(place, small_image, tmp_path, undefined, name):  # noqa: F811
    """An image's domain carries our metadata, past its time; so does a VM that somebody defines by hand. Neither is destroyed."""
    env = place.store(tmp_path)
    ours = f"<metadata><s:job xmlns:s='urn:sarde-executor:job:1' id='7' expires='1' boot='b' expires-uptime='1' folder='{place.jobs}/{name}'/></metadata>"
    (tmp_path / "disk.raw").write_bytes(b"\0" * 4096)
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")).replace("<memory", ours + "<memory", 1))
    place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
    place.run("import", "-n", name, "h.example/vms/x:1", env=env)
    assert "sarde-executor" not in subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", name], capture_output=True, text=True, check=True).stdout
    by_hand = f"by-hand-{name}" if name == "web" else "sarde-8-0123abcd"
    define(tmp_path, domain(by_hand, (tmp_path / "disk.raw", "raw")).replace("<memory", ours.replace(f"/{name}'", f"/{by_hand}'") + "<memory", 1))
    for vm in (name, by_hand):
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "start", vm], check=True)
    place.run("clone", "h.example/vms/x:1", f"twin-{name}", env=env)
    assert place.run("gc").stdout == "" and place.run("gc", env=env).stdout == ""
    with place.runner().job(job_id=608, image=small_image) as job:
        assert job.prepare(), job.result.text
        assert "Removing what another job left" not in job.result.text
    states = [subprocess.run(["virsh", "-q", "-c", "qemu:///session", "domstate", vm], capture_output=True, text=True).stdout.strip() for vm in (name, by_hand)]
    assert states == ["running", "running"]


@pytest.mark.parametrize("command", ["gc", "prune"])
def test_temporary_files_go_with_their_makers(place, tmp_path, command):
    env = place.store(tmp_path)
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1", env=env)
    (tmp_path / "vms").mkdir()
    dead = [tmp_path / "oci/.sarde-fetch-abc", tmp_path / "vms/.incoming-abc", tmp_path / "oci/h.example/vms/g/blobs/sha256/.incoming.abc"]
    for path in dead[:2]:
        path.mkdir()
    dead[2].write_text("half a blob")
    living = tmp_path / "oci/.sarde-fetch-def"
    living.mkdir()
    with subprocess.Popen(["flock", living, "sleep", "60"]) as maker:
        time.sleep(0.3)
        place.run(command, env=env)
        assert not any(path.exists() for path in dead) and living.exists()
        maker.terminate()


def test_an_import_that_was_killed_leaves_nothing_after_gc(place, tmp_path):
    env = place.store(tmp_path)
    disk = tmp_path / "disk.raw"
    with open(disk, "wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    (tmp_path / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
    place.run("export", "--compression", "fast", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=env)
    for delay in (0.05, 0.1, 0.2):
        process = subprocess.Popen([place.program, "import", "-n", "killed", "h.example/vms/x:1"], env=place.environment | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert not (tmp_path / "vms/killed").exists()
        place.run("gc", env=env)
        assert [path.name for path in (tmp_path / "vms").glob("*") if not path.name.endswith(".lock")] == []

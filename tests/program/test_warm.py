"""Warm starts: a job's VM continues from the saved state of an earlier one, or boots and says why."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import need, run_in_a_namespace, tools_without_passt
from fake_runner import bash_script
from test_firmware import guests, images  # noqa: F401: fixtures

MARKER = "the first job was here: " + "5a" * 24
CONTINUES = "instead of booting"


@pytest.fixture
def warm(place, small_image):
    """The small image, without any saved state yet; and a runner."""
    need(shutil.which("passt"), "passt is not installed")
    forget(place)
    yield small_image
    place.assert_nothing_left()
    forget(place)


def forget(place):
    for folder in (place.folder / "vms").glob("*/.warm"):
        shutil.rmtree(folder)


def runner_of(place, config="", **environment):
    return place.runner(config, SARDE_WARM="auto", **environment)


def states(place):
    return [path.parent for path in (place.folder / "vms").glob("*/.warm/*/state")]


@contextlib.contextmanager
def ready(place, image, number, config="", environment=None, **options):
    with runner_of(place, config, **(environment or {})).job(job_id=number, image=image, **options) as job:
        assert job.prepare(), job.result.text
        yield job


def run(job, script):
    result = job.run_script(bash_script(script))
    assert result.code == 0, result.stderr
    return result.stdout.decode().strip()


def holds(place, job, text):
    """Where the text is in a job's VM: in its memory, as the host sees that, or in a file that it has open, but for its image's."""
    (pid,) = place.qemu_pids(f"sarde-{job.id}-")
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in open(f"/proc/{pid}/maps"):
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and "[" not in line:
                try:
                    found |= {"memory"} if text.encode() in os.pread(memory.fileno(), end - begin, begin) else set()
                except OSError:
                    pass
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if entry.is_file() and "qcow2" in os.readlink(entry):
            found |= {"disk"} if text.encode() in entry.read_bytes() else set()
    return found


def made(place, image, number=7000, **options):
    """Makes the state by a first job, and proves it by a second; the folder."""
    with ready(place, image, number, **options) as job:
        assert "Saved the VM's state" in job.result.text, job.result.text
    with ready(place, image, number + 1, **options) as job:
        assert CONTINUES in job.result.text, job.result.text
    (folder,) = states(place)
    assert json.loads((folder / "template.json").read_text())["proven"]
    return folder


def reason(job):
    """The one line that says why a VM boots."""
    lines = [line for line in job.result.text.splitlines() if "(warm)" in line or "continue from the saved state" in line]
    assert len(lines) == 1, job.result.text
    return lines[0]


def test_two_vms_continue_from_the_state_of_a_first(place, warm):
    """Each is its own: random numbers, keys, clock, name; and nothing of the first job is there."""
    with ready(place, warm, 7000, variables={"SECRET": MARKER}) as first:
        assert "Saved the VM's state" in first.result.text
        # It goes on, and what it does now is in nobody's template.
        run(first, f"echo {MARKER} >mark; sync; export M='{MARKER}'; sleep 100 >/dev/null 2>&1 & sudo tee /root/mark <mark; df / >/dev/null")
        shared = run(first, "head -c 32 /dev/urandom | od -An -tx1")
        with ready(place, warm, 7001) as second, ready(place, warm, 7002) as third:
            vms = (second, third)
            for job in vms:
                assert CONTINUES in job.result.text, job.result.text
                before = time.time()
                now, name, kept_name, user = run(job, "echo $EPOCHREALTIME; hostname; cat /etc/hostname; whoami").split()
                assert before - 1 <= float(now) <= time.time() + 1, (before, now)
                assert name == kept_name and re.fullmatch(rf"sarde-{job.id}-\w+", name) and user == "runner"
                assert run(job, "ls; sudo ls -A /root") == ""
            for what in ("head -c 32 /dev/urandom | od -An -tx1", "cat /proc/sys/kernel/random/uuid", "grep -x '[0-9a-f]\\{32\\}' /etc/machine-id", "dropbearkey -t ed25519 -f k >/dev/null && dropbearkey -y -f k | grep ssh-"):
                answers = {run(job, what) for job in (first, *vms)}
                assert len(answers) == 3, what
            assert [holds(place, job, MARKER) for job in (first, *vms)] == [{"memory", "disk"}, set(), set()]
    (folder,) = states(place)
    for file in folder.iterdir():
        assert MARKER.encode() not in file.read_bytes(), file
    assert (folder / "state").stat().st_mode & 0o777 == 0o600
    for name in ("state", "template.json", "files.json"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_many_continue_at_once(place, warm):
    """And of two first jobs that boot at once, one saves its state."""
    runner = runner_of(place)

    def one(number):
        with runner.job(job_id=number, image=warm) as job:
            assert job.prepare(), job.result.text
            return job.result.text, run(job, "cat /proc/sys/kernel/random/uuid; hostname")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        both = list(pool.map(one, (7010, 7011)))
        assert sorted("Saved the VM's state" in text for text, _ in both) == [False, True]
        four = list(pool.map(one, range(7020, 7024)))
        assert all(CONTINUES in text for text, _ in four), four
        assert len({answer for _, answer in both + four}) == 6


def test_off_is_as_it_was(place, small_image):
    forget(place)
    for number in (7030, 7031):
        with place.runner('warm = "off"\n').job(job_id=number, image=small_image) as job:
            assert job.prepare(), job.result.text
            assert "has booted" in job.result.text and "warm" not in job.result.text and "Saved" not in job.result.text
            xml = subprocess.run(["virsh", "-q", "-c", "qemu:///session", "dumpxml", *place.domains()], capture_output=True, text=True, check=True).stdout
            assert "<genid>" not in xml
            assert run(job, "hostname") == "sarde-guest"
    assert not list((place.folder / "vms").glob("*/.warm"))
    place.assert_nothing_left()


def damage_state(folder, at=None):
    file = folder / "state"
    size = file.stat().st_size
    with open(file, "r+b") as out:
        out.seek(size // 2 if at is None else at)
        out.write(b"\xa5" * 4096)


GONE = "it is not what was saved any more"
DAMAGES = {
    "truncated": (lambda folder: os.truncate(folder / "state", (folder / "state").stat().st_size // 2), GONE),
    "one block is another": (damage_state, GONE),
    "removed": (lambda folder: (folder / "state").unlink(), GONE),
    "its disk is another": (lambda folder: os.truncate(next(folder.glob("disk-*")), 65536), GONE),
    "its disk is gone": (lambda folder: next(folder.glob("disk-*")).unlink(), GONE),
    "another guest's key": (lambda folder: rewrite(folder / "template.json", "host_key", "ssh-ed25519 AAAA"), "the host key there is not the one"),
    "another shape": (lambda folder: rewrite(folder / "template.json", "shape", "<domain/>"), "it was saved from another kind of VM"),
    "its record lacks a disk": (lambda folder: rewrite(folder / "template.json", "disks", []), "the saved state lacks the disk"),
}


def rewrite(file, key, value):
    record = json.loads(file.read_text())
    assert key in record
    file.write_text(json.dumps(record | {key: value}))


@pytest.fixture(scope="module")
def proven(place, small_image):
    """A state that was proven, and a copy of it."""
    forget(place)
    folder = made(place, small_image)
    copy = place.folder / "proven-state"
    shutil.copytree(folder, copy)
    yield folder, copy
    shutil.rmtree(copy)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_is_not_what_it_was_is_not_used(place, proven, warm, damage):
    """The job boots, and makes another one."""
    folder, copy = proven
    shutil.copytree(copy, folder)
    hurt, why = DAMAGES[damage]
    hurt(folder)
    with ready(place, warm, 7042) as job:
        assert "The VM boots, because it could not continue from the saved state: " in reason(job) and why in reason(job), job.result.text
        assert "Saved the VM's state" in job.result.text
        assert run(job, "echo it runs") == "it runs"
        assert not folder.exists() and len(states(place)) == 1


def test_a_state_that_was_copied_is_read_again_and_used(place, proven, warm):
    """As after a boot of the host: another look, the same content."""
    folder, copy = proven
    shutil.copytree(copy, folder)
    os.utime(folder / "state")
    for number in (7043, 7044):
        with ready(place, warm, number) as job:
            assert CONTINUES in job.result.text, job.result.text


def test_what_cannot_be_read_as_a_record_is_none(place, proven, warm):
    folder, copy = proven
    shutil.copytree(copy, folder)
    (folder / "template.json").write_text("{}")
    with ready(place, warm, 7045) as job:
        assert "has booted" in job.result.text and "Saved the VM's state" in job.result.text
    assert not folder.exists()


def test_a_guest_that_never_answers(place, warm, tmp_path):
    """It continues, and cannot be reached, for passt expects it at another address: it is destroyed after some seconds, and a VM boots."""
    passt = tmp_path / "passt"
    passt.write_text(f'#!/bin/sh\n[ ! -e {tmp_path}/elsewhere ] || set -- "$@" --address 10.9.9.9 --netmask 24 --gateway 10.9.9.1\nexec {shutil.which("passt")} "$@"\n')
    passt.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    made(place, warm, environment=environment)
    (tmp_path / "elsewhere").touch()
    began = time.monotonic()
    with ready(place, warm, 7051, environment=environment) as job:
        assert "could not continue from the saved state" in reason(job) and "not available within 10" in reason(job), job.result.text
        assert time.monotonic() - began < 90
        assert run(job, "ip -4 address show eth0 | grep -o '10.9.9.9'") == "10.9.9.9"
        assert len(place.domains()) == 1


def test_an_old_state_is_replaced(place, warm):
    folder = made(place, warm, config='warm-max-age = "1h"\n')
    place.run("gc")
    assert states(place) == [folder]
    rewrite(folder / "template.json", "made", int(time.time()) - 7200)
    with ready(place, warm, 7060, 'warm-max-age = "1h"\n') as job:
        assert "has booted" in job.result.text and "Saved the VM's state" in job.result.text
    (folder,) = states(place)
    rewrite(folder / "template.json", "made", int(time.time()) - 7200)
    removed = place.run("gc")
    assert "Removed 1 saved state(s) of VMs that are too old" in removed.stderr and states(place) == []


def test_other_vms_have_other_states(place, warm):
    """Another size, another login, other disks: each boots first."""
    made(place, warm)
    for number, config in enumerate(("memory = \"512MiB\"\n", "scratch-disk = \"1GiB\"\ndisk-size = \"3GiB\"\n")):
        with ready(place, warm, 7070 + number, config) as job:
            assert "has booted" in job.result.text and "Saved the VM's state" in job.result.text, (config, job.result.text)
        with ready(place, warm, 7080 + number, config) as job:
            assert CONTINUES in job.result.text, (config, job.result.text)
            if "scratch" in config:
                disk = run(job, "grep -l scratch /sys/block/*/serial").split("/")[3]
                assert run(job, f"cat /sys/block/{disk}/size") == str(2**21)
                assert run(job, f"echo x | sudo dd of=/dev/{disk} 2>/dev/null; sudo head -c 1 /dev/{disk}") == "x"
            if "disk-size" in config:
                assert run(job, "cat /sys/block/vda/size") == str(3 * 2**21)
    assert len(states(place)) == 3


def test_passt_is_gone(place, warm):
    made(place, warm)
    tools = tools_without_passt(place.folder / "no-passt")
    with ready(place, warm, 7090, environment={"PATH": tools}) as job:
        assert "network of its own, is not installed" in reason(job), job.result.text
    with ready(place, warm, 7091) as job:
        assert CONTINUES in job.result.text


# With bash for /bin/sh, what is in PATH is run; busybox's shell has its own.
OWN_SHELL = ["rm /bin/sh", "symlink /bin/sh bash"]


def program(folder, text, path):
    """Commands for debugfs that put a script in the place of this program."""
    script = folder / pathlib.Path(path).name
    script.write_text(f"#!/bin/sh\n{text}\n")
    return [f"rm {path}", f"write {script} {path}", f"set_inode_field {path} mode 0100755"]


CANNOT = {
    "no sudo": (["rm /etc/sudoers"], "the guest's login user is not root and cannot use sudo without a password"),
    "nothing that makes ioctls": (["rm /usr/bin/perl"], "the guest's kernel cannot be given new random numbers"),
    "a clock of its own": (lambda folder: OWN_SHELL + program(folder, 'case "$*" in *-s*) ;; *%N*) echo 1000.5 ;; *) exec busybox date "$@" ;; esac', "/bin/date"),
                           "the guest's clock cannot be set: it is 1"),
}


@pytest.mark.parametrize("lack", CANNOT)
def test_a_guest_that_cannot_be_renewed_boots(place, warm, tmp_path, lack):
    commands, why = CANNOT[lack]
    name = re.sub(r"\W", "-", lack)
    if callable(commands):
        commands = commands(tmp_path)
    image = place.publish(name, folder=place.changed_guest(name, commands))
    with ready(place, image, 7100) as job:
        assert f"Later VMs of this image will boot, too: {why}" in reason(job), job.result.text
    with ready(place, image, 7101) as job:
        assert f"The VM boots, because {why}" in reason(job), job.result.text
    shown = place.run("inspect", image).stdout
    assert f"warm start    refused: {why}" in shown and states(place) == []
    place.run("rm", image)


def test_vms_with_the_same_random_numbers_boot(place, warm, tmp_path):
    """The proof finds out, and no job is given such a VM."""
    image = place.publish("same", folder=place.changed_guest("same", OWN_SHELL + program(tmp_path, f"echo {'ab' * 32}", "/bin/od")))
    why = "two VMs that continued from it have the same random numbers"
    with ready(place, image, 7105) as job:
        assert "Saved the VM's state" in job.result.text, job.result.text
    with ready(place, image, 7106) as job:
        assert f"it could not continue from the saved state: {why}" in reason(job) and run(job, "hostname") == "sarde-guest", job.result.text
        assert len(place.domains()) == 1 and states(place) == []
    with ready(place, image, 7107) as job:
        assert f"no VM could continue from the state of the last one: {why}" in reason(job), job.result.text
    place.run("rm", image)


def test_what_never_continues_says_so(place, warm, tmp_path):
    for number, (config, why) in enumerate({
        'network = "slirp"\n': "passt",
        f'mounts = ["{tmp_path}:/mnt"]\n': "it has mounts",
        "nested = true\n": "it may run VMs itself",
        'allow-devices = ["sound"]\n': "allow-devices is set",
    }.items()):
        with runner_of(place, config).job(job_id=7110 + number, image=warm) as job:
            assert job.prepare() or "mounts" in config, job.result.text
            assert why in reason(job), job.result.text
    assert states(place) == []


def test_commands_show_states_and_remove_them(place, warm):
    folder = made(place, warm)
    size = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
    facts = json.loads(place.run("inspect", "--json", warm).stdout)
    (state,) = facts["saved_states"]
    assert state["is_proven"] and state["refused"] is None and abs(state["size"] - size) < 1e5 and time.time() - state["made"] < 600
    assert re.search(r"^warm start +\d+\.\d MB$", place.run("inspect", warm).stdout, re.M)
    (entry,) = [entry for entry in json.loads(place.run("list", "--json").stdout) if entry["name"].endswith("/small")]
    assert entry["saved_states"] == state["size"]
    assert "WARM START" in place.run("list").stdout
    with ready(place, warm, 7120):
        (shown,) = json.loads(place.run("jobs", "--json").stdout)
        assert shown["start"].startswith("warm (") and "START" in place.run("jobs").stdout
    image = folder.parents[1]
    # As if it had been unused for long: with the image, its states go; and they count.
    for path in [image, *(place.folder / "oci").rglob("*")]:
        os.utime(path, (1, 1))
    budget = sum(file.stat().st_blocks * 512 for file in (place.folder / "vms").rglob("*") if file.is_file()) + sum(
        file.stat().st_blocks * 512 for file in (place.folder / "oci").rglob("*") if file.is_file()) - size // 2
    place.run("prune", "--budget", str(budget))
    assert not image.exists()
    place.run("fetch", warm)


def test_warm_makes_a_state_ahead_of_the_first_job(place, warm):
    made_by_hand = place.run("warm", warm, env={"SARDE_WARM": "auto"})
    assert CONTINUES in made_by_hand.stderr and place.domains() == []
    (folder,) = states(place)
    with ready(place, warm, 7130) as job:
        assert CONTINUES in job.result.text, job.result.text
    place.run("warm", warm, env={"SARDE_WARM": "auto"})
    (other,) = states(place)
    assert other != folder
    off = place.run("warm", warm, check=False)
    assert off.returncode == 1 and 'every VM boots (warm = "off")' in off.stderr
    never = place.run("warm", "--network", "slirp", warm, env={"SARDE_WARM": "auto"}, check=False)
    assert never.returncode == 1 and "no state was saved; the lines above say why" in never.stderr


def test_a_guest_that_continues_may_reboot(place, proven, warm):
    """And it may be looked into as any other: its console, its own login."""
    folder, copy = proven
    shutil.copytree(copy, folder)
    with ready(place, warm, 7135) as job:
        assert CONTINUES in job.result.text, job.result.text
        assert place.run("ssh", "7135", "id -un").stdout.strip() == "runner"
        run(job, "(sleep 1; sudo reboot -f) >/dev/null 2>&1 &")
        time.sleep(2)
        assert run(job, "cut -d. -f1 /proc/uptime; hostname").split()[1].startswith("sarde-7135-")


def test_a_job_that_is_killed_while_it_proves_leaves_nothing(place, warm):
    with ready(place, warm, 7140):
        pass
    process = subprocess.Popen([place.program, "try", warm, "true"], env=place.environment | {"SARDE_WARM": "auto"}, stderr=subprocess.PIPE)
    while process.poll() is None and len(list(place.jobs.glob("*/vm-started"))) < 2:
        time.sleep(0.002)
    time.sleep(0.3)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, process.stderr.read()
    (folder,) = states(place)
    assert not json.loads((folder / "template.json").read_text())["proven"]
    process.kill()
    process.wait()
    place.run("gc")
    place.assert_nothing_left()
    with ready(place, warm, 7149) as job:
        assert CONTINUES in job.result.text, job.result.text


def test_every_disk_of_an_image_continues(place, warm, tmp_path):
    """A second disk, raw, and a third that is a thin copy of a file of the image."""
    for name in ("domain.xml", "disk.qcow2"):
        shutil.copy(place.guest / name, tmp_path)
    (tmp_path / "data.raw").write_bytes(b"of the image" + bytes(2**20 - 12))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "data.raw", tmp_path / "thin.qcow2"], check=True)
    disks = "".join(f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file='{name}'/><target dev='{target}' bus='virtio'/></disk>"
                    for name, kind, target in (("data.raw", "raw", "vdb"), ("thin.qcow2", "qcow2", "vdc")))
    domain = tmp_path / "domain.xml"
    domain.write_text(domain.read_text().replace("</disk>", "</disk>" + disks))
    image = place.publish("disks", folder=tmp_path)
    with ready(place, image, 7150) as job:
        assert "Saved the VM's state" in job.result.text
    for number in (7151, 7152):
        with ready(place, image, number) as job:
            assert CONTINUES in job.result.text, job.result.text
            assert run(job, "for d in vdb vdc; do sudo head -c 12 /dev/$d; done") == "of the imageof the image"
            run(job, "for d in vdb vdc; do echo of this job. | sudo dd of=/dev/$d conv=notrunc 2>/dev/null; done; sync")
            assert run(job, "for d in vdb vdc; do sudo head -c 12 /dev/$d; done") == "of this job.of this job."
    place.run("rm", image)


def test_a_uefi_guest_continues_and_one_with_a_tpm_boots(place, warm, images):  # noqa: F811: a fixture of another file
    for number in (7160, 7161, 7162):
        with ready(place, images["found"], number, 'boot-timeout = "3m"\n') as job:
            assert ("Saved the VM's state" if number == 7160 else CONTINUES) in job.result.text, job.result.text
            assert run(job, "ls -d /sys/firmware/efi; ls /sys/firmware/efi/efivars | wc -l").split()[0] == "/sys/firmware/efi"
    with ready(place, images["entry"], 7163, 'boot-timeout = "3m"\n') as job:
        assert "because it has a TPM" in reason(job), job.result.text


def test_the_world_is_reached_from_each(place):
    """In a network namespace of the test's own, which has a server and a resolver outside the guests' network."""
    run_in_a_namespace("warm_network_inner.py", place.program, place.guest, resolver="198.51.100.7")


def test_another_build_of_qemu_makes_another_state(place, proven, warm):
    """It is put in the old one's place, as an upgrade does; seen in the tests' own mount namespace only."""
    need(os.geteuid() == 0, "a mount needs root")
    folder, copy = proven
    shutil.copytree(copy, folder)
    program = pathlib.Path("/usr/bin/qemu-system-x86_64")
    other = place.folder / "other-qemu"
    shutil.copy(program, other)
    subprocess.run(["mount", "--bind", other, program], check=True)
    try:
        with ready(place, warm, 7170) as job:
            assert "has booted" in job.result.text and "Saved the VM's state" in job.result.text, job.result.text
    finally:
        subprocess.run(["umount", program], check=True)
    assert folder in states(place) and len(states(place)) == 2
    with ready(place, warm, 7171) as job:
        assert CONTINUES in job.result.text, job.result.text

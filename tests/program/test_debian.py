"""libvirt as Debian sets it up: QEMU runs as libvirt-qemu, and libvirt gives it the files of a VM. Run by private-libvirt --debian."""
import os
import pathlib
import pwd
import re
import stat
import subprocess
import time

import pytest

from conftest import need, tools_without_passt
from fake_runner import bash_script
from lying_registry import LyingRegistry
from test_cloud_init import cloud  # noqa: F401: a fixture
from test_firmware import guests, images  # noqa: F401: fixtures
from test_guest_runner import runners  # noqa: F401: a fixture
from test_mounts import of_project


@pytest.fixture(scope="module")
def debian(place):
    need(os.environ.get("PRIVATE_LIBVIRT_DEBIAN") and os.geteuid() == 0, "Debian's defaults need root (private-libvirt --debian)")
    place.environment["SARDE_CONNECT"] = "qemu:///system"
    place.environment["SARDE_NETWORK"] = "passt"
    return place


@pytest.fixture(scope="module")
def qemu(debian):
    return pwd.getpwnam("libvirt-qemu")


@pytest.fixture
def tmp_path(debian):
    """QEMU's account has to get there, which pytest's own folders do not allow."""
    folder = debian.folder / f"d{len(list(debian.folder.glob('d*')))}"
    folder.mkdir(mode=0o755)
    return folder


def virsh(*arguments, check=True):
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", *arguments], capture_output=True, text=True, check=check)


def as_user(uid, gid, *command):
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *command], capture_output=True)


def everything_below(folder):
    return [path for path in [folder, *folder.rglob("*")] if not path.is_symlink()]


def open_to_others(folder):
    """What any local account may read, write or look into."""
    return [f"{path} {stat.filemode(path.stat().st_mode)}" for path in everything_below(folder) if path.stat().st_mode & 0o007]


def cannot_be_read_by(uid, gid, folder):
    """Nothing in it, by any way."""
    for path in everything_below(folder):
        command = ["ls", path] if path.is_dir() else ["head", "-c", "1", path]
        assert as_user(uid, gid, *command).returncode != 0, path


def base_disks(debian_folder):
    return list(debian_folder.glob("vms/sha256:*/*.qcow2"))


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["umask 000", "umask 077"])
def test_a_job_and_what_may_be_read_and_written_of_it(debian, qemu, tmp_path, umask):
    env = debian.store(tmp_path)
    debian.run("export", "--compression", "fast", "--libvirtconfig", debian.guest / "domain.xml", "--vmconfig", debian.guest / "vmconfig.json", "s", "h.example/vms/s:1", env=env)
    before = os.umask(umask)
    try:
        runner = debian.runner('pull-policy = "never"\n', **env)
        with runner.job(job_id=9000 + umask, image="h.example/vms/s:1", variables={"SECRET_OF_THE_JOB": "do not tell"}) as job:
            assert job.prepare(), job.result.text
            assert "WARNING" not in job.result.text
            assert job.run_script(bash_script("echo it runs")).stdout == b"it runs\n"
            (pid,) = debian.qemu_pids()
            assert pathlib.Path(f"/proc/{pid}").stat().st_uid == qemu.pw_uid
            # QEMU reads the base disk and cannot change it; it stays ours.
            (base,) = base_disks(tmp_path)
            assert (base.stat().st_uid, base.stat().st_gid, base.stat().st_mode & 0o777) == (0, qemu.pw_gid, 0o440)
            assert as_user(qemu.pw_uid, qemu.pw_gid, "head", "-c", "1", base).returncode == 0
            for command in (f"echo x >>{base}", f"mv {base} {base}.x", f"rm -f {base}", f"chmod 600 {base}", f"touch {base.parent}/new", f"cat {tmp_path}/jobs/*/record.json"):
                assert as_user(qemu.pw_uid, qemu.pw_gid, "sh", "-c", command).returncode != 0, command
            # No other account sees anything of it.
            for folder in ("oci", "vms", "jobs"):
                assert open_to_others(tmp_path / folder) == []
                cannot_be_read_by(12345, 12345, tmp_path / folder)
            # What serves the guest knows nothing of the job.
            passt = subprocess.run(["pgrep", "-f", f"passt.*{tmp_path}"], capture_output=True, text=True, check=True).stdout.split()
            for process in [*passt, str(pid)]:
                environ = pathlib.Path(f"/proc/{process}/environ").read_bytes()
                assert b"SECRET_OF_THE_JOB" not in environ and b"JOB_RESPONSE_FILE" not in environ, environ
            assert pathlib.Path(f"/proc/{passt[0]}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert list((tmp_path / "jobs").iterdir()) == []
        assert virsh("list", "--all", "--name").stdout.split() == []
        assert (base.stat().st_uid, base.stat().st_mode & 0o777) == (0, 0o440)
    finally:
        os.umask(before)


def test_an_imported_vm_and_a_clone_start_and_leave_the_base_alone(debian, qemu, tmp_path):
    """Each starts, is destroyed, and starts again: libvirt takes its own files back and touches no others."""
    env = debian.store(tmp_path)
    chain = tmp_path / "chain"
    chain.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", debian.guest / "disk.qcow2", chain / "top.qcow2"], check=True)
    (chain / "d.xml").write_text((debian.guest / "domain.xml").read_text().replace("disk.qcow2", "top.qcow2"))
    debian.run("export", "--compression", "fast", "--libvirtconfig", chain / "d.xml", "s", "h.example/vms/s:1", env=env)
    debian.run("import", "-n", "imported", "h.example/vms/s:1", env=env)
    debian.run("clone", "h.example/vms/s:1", "twin", env=env)
    try:
        for _ in range(2):
            for name in ("imported", "twin"):
                virsh("start", name)
            shared = base_disks(tmp_path)
            assert len(shared) == 2
            backing = [tmp_path / "vms/imported/disk.qcow2", *shared]
            for disk in backing:
                assert disk.stat().st_uid == 0 and not disk.stat().st_mode & 0o022, (disk, oct(disk.stat().st_mode))
                assert as_user(qemu.pw_uid, qemu.pw_gid, "sh", "-c", f"echo x >>{disk}").returncode != 0
            assert (tmp_path / "vms/twin/top.qcow2").stat().st_uid == qemu.pw_uid
            for name in ("imported", "twin"):
                virsh("destroy", name)
            assert open_to_others(tmp_path / "vms") == []
    finally:
        for name in ("imported", "twin"):
            virsh("destroy", name, check=False)
            virsh("undefine", name, check=False)


def test_a_running_vm_is_exported_from_a_copy_that_qemu_writes(debian, tmp_path):
    env = debian.store(tmp_path)
    debian.run("export", "--compression", "fast", "--libvirtconfig", debian.guest / "domain.xml", "s", "h.example/vms/s:1", env=env)
    debian.run("import", "-n", "lively", "h.example/vms/s:1", env=env)
    try:
        virsh("start", "lively")
        said = debian.run("export", "--live", "lively", "h.example/vms/lively:1", env=env)
        assert re.search(r"Copied 1 disk\(s\) of the running VM", said.stderr)
        assert [path.name for path in (tmp_path / "vms").iterdir() if path.name.startswith(".incoming")] == []
    finally:
        virsh("destroy", "lively", check=False)
        virsh("undefine", "lively", check=False)


def test_a_folder_that_qemu_cannot_reach_is_named(debian, qemu, tmp_path):
    """By selftest, and by a job before it fetches anything."""
    env = debian.store(tmp_path)
    image = debian.publish("early")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for setting in ("vmdir", "jobsdir"):
        hidden = env | {f"SARDE_{setting.upper()}": str(home / "deep" / setting)}
        hint = f"{setting} is {home}/deep/{setting}, but QEMU's account, libvirt-qemu, cannot enter {home}: choose another folder, or type 'setfacl -m u:libvirt-qemu:x {home}'"
        told = debian.run("selftest", env=hidden, check=False)
        assert told.returncode == 2 and f"FAILED  {setting}: {hint}" in told.stdout, told.stdout
        with debian.runner(**hidden).job(job_id=9100, image=image, cleanup_may_fail=True) as job:
            job.config()
            refused = job.call("prepare")
            assert refused.code == 2 and hint in refused.stderr.decode(), refused.stderr
            assert not list((tmp_path / "oci").rglob("blobs/*/*"))
    subprocess.run(["chmod", "o+x", home], check=True)
    told = debian.run("selftest", env=env | {"SARDE_VMDIR": str(home / "deep/vmdir")}, check=False)
    assert "FAILED" not in told.stdout, told.stdout


def test_a_network_that_is_not_active_is_named(debian, tmp_path):
    env = debian.store(tmp_path) | {"SARDE_NETWORK": "idle"}
    image = debian.publish("idle")
    (tmp_path / "net.xml").write_text("<network><name>idle</name><bridge name='virbr-idle'/></network>")
    virsh("net-define", str(tmp_path / "net.xml"))
    try:
        hint = "libvirt's network 'idle' is not active: type 'virsh -c qemu:///system net-start idle'"
        assert f"FAILED  network: {hint}" in debian.run("selftest", env=env, check=False).stdout
        with debian.runner(**env).job(job_id=9101, image=image, cleanup_may_fail=True) as job:
            job.config()
            refused = job.call("prepare")
            assert refused.code == 2 and hint in refused.stderr.decode(), refused.stderr
            assert not list((tmp_path / "oci").rglob("blobs/*/*"))
    finally:
        virsh("net-undefine", "idle")


def test_an_account_that_may_not_use_libvirt_is_told_what_to_type(debian, tmp_path):
    (tmp_path / "n").mkdir(mode=0o777)
    (tmp_path / "n").chmod(0o777)
    env = debian.environment | {f"SARDE_{name}": f"{tmp_path}/n/{name.lower()}" for name in ("OCIDIR", "VMDIR", "JOBSDIR")}
    socket = pathlib.Path("/run/libvirt/libvirt-sock")  # this private libvirt's
    socket.chmod(0o770)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", debian.program]
    try:
        listed = subprocess.run([*as_nobody, "list", "--json"], env=env, capture_output=True, text=True)
        told = subprocess.run([*as_nobody, "selftest"], env=env, capture_output=True, text=True)
    finally:
        socket.chmod(0o777)
    assert (listed.returncode, listed.stdout) == (0, "[]\n"), listed  # needs no libvirt
    assert told.returncode == 2 and "FAILED  libvirt: " in told.stdout and "type 'adduser nobody libvirt'" in told.stdout, told.stdout


def test_uefi_variables_a_tpm_and_a_seed_reach_qemu(debian, images, cloud, tmp_path):  # noqa: F811: fixtures of other files
    """Files of one VM, which QEMU's account opens: its UEFI variables, and the disk for cloud-init. swtpm runs as an account of its own."""
    env = debian.store(tmp_path)
    for number, (image, command) in enumerate([(images["entry"], b"ls /sys/firmware/acpi/tables/TPM2\n"), (cloud, b"hostname\n")]):
        with debian.runner('boot-timeout = "2m"\n', **env).job(job_id=9300 + number, image=image) as job:
            assert job.prepare(), job.result.text
            assert "another build" not in job.result.text
            assert job.run_script(bash_script(command.decode())).code == 0, job.result.text
            folder = next((tmp_path / "jobs").iterdir())
            assert not open_to_others(folder)


def test_what_a_job_has_besides_its_image_reaches_qemus_account(debian, qemu, tmp_path, runners):  # noqa: F811
    """gitlab-runner's disk, an empty disk, the project's cache and a read-only folder, with QEMU as libvirt-qemu."""
    env = debian.store(tmp_path)
    debian.run("export", "--compression", "fast", "--libvirtconfig", debian.guest / "domain.xml", "--vmconfig", debian.guest / "vmconfig.json", "s", "h.example/vms/s:1", env=env)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("data\n")
    config = f'pull-policy = "never"\nscratch-disk = "32MiB"\ncache-dir = "{tmp_path}/cache"\nmounts = ["{tmp_path}/data:/data:ro"]\n'
    with debian.runner(config, **env, SARDE_GUEST_RUNNER=str(runners / "gitlab-runner")).job(job_id=9050, image="h.example/vms/s:1", response=of_project(7)) as job:
        assert job.prepare(), job.result.text
        script = "gitlab-runner x\ncat /data/file\necho cached >/var/tmp/gitlab-runner/cache/c\necho kept | sudo dd of=/dev/disk/by-id/none 2>/dev/null || true\nls /sys/block | grep -c vd"
        assert job.run_script(bash_script(script)).stdout == b"recorded\ndata\n3\n", job.result.text
        assert job.run_script(bash_script("sudo sh -c 'echo x >/data/x'")).code != 0
        uid, gid = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid
        for folder in (tmp_path / "cache", tmp_path / "vms/.guest-runner"):
            cannot_be_read_by(uid, gid, folder)
    assert [path.read_text() for path in tmp_path.glob("cache/*/c")] == ["cached\n"]


def test_passt_is_the_first_choice_and_vms_continue_from_saved_states(debian, qemu, tmp_path):
    """With no word of a network in the settings: each VM has passt's, and no network of libvirt's has to be there."""
    env = debian.store(tmp_path)
    debian.run("export", "--compression", "fast", "--libvirtconfig", debian.guest / "domain.xml", "--vmconfig", debian.guest / "vmconfig.json", "s", "h.example/vms/s:1", env=env)
    runner = debian.runner('pull-policy = "never"\n', SARDE_WARM="auto", **env)
    del runner.environment["SARDE_NETWORK"]
    assert virsh("net-list", "--name").stdout.split() == []
    with runner.job(job_id=9060, image="h.example/vms/s:1") as job:
        assert job.prepare(), job.result.text
        assert "Saved the VM's state" in job.result.text and "WARNING" not in job.result.text
    with runner.job(job_id=9061, image="h.example/vms/s:1") as first, runner.job(job_id=9062, image="h.example/vms/s:1") as second:
        assert first.prepare() and second.prepare(), first.result.text + second.result.text
        for job in (first, second):
            assert "instead of booting" in job.result.text, job.result.text
            assert job.run_script(bash_script("echo x | sudo tee -a /etc/profile >/dev/null; sync; hostname")).stdout.startswith(b"sarde-906"), job.result.text
        (state,) = tmp_path.glob("vms/*/.warm/*/state")
        disks = [*state.parent.glob("disk-*")]
        assert (state.stat().st_uid, state.stat().st_mode & 0o777) == (0, 0o600)
        assert [(disk.stat().st_uid, disk.stat().st_gid, disk.stat().st_mode & 0o777) for disk in disks] == [(0, qemu.pw_gid, 0o440)]
        for command in (f"head -c 1 {state}", f"echo x >>{disks[0]}", f"rm -f {disks[0]}", f"touch {state.parent}/new", f"mv {state.parent} {state.parent}.x"):
            assert as_user(qemu.pw_uid, qemu.pw_gid, "sh", "-c", command).returncode != 0, command
        assert open_to_others(tmp_path / "vms") == []
        cannot_be_read_by(12345, 12345, tmp_path / "vms")
    assert list((tmp_path / "jobs").iterdir()) == []
    told = subprocess.run([debian.program, "doctor"], env=runner.environment, capture_output=True, text=True).stdout
    assert re.search(r"ok +network: passt", told) and re.search(r"ok +warm starts: VMs continue from saved states, of which there are 1 \(", told), told
    # Where passt cannot be had, libvirt's network takes its place, and has to be there.
    runner.environment["PATH"] = tools_without_passt(tmp_path / "tools")
    with runner.job(job_id=9063, image="h.example/vms/s:1", retry_pause=0.1) as job:
        assert not job.prepare() and job.result.verdict == "system_failure" and "libvirt has no network 'default'" in job.result.text, job.result.text
    told = subprocess.run([debian.program, "doctor"], env=runner.environment, capture_output=True, text=True).stdout
    assert re.search(r"FAILED +warm starts: every VM boots, because passt is not installed: type 'apt-get install passt'", told), told
    assert re.search(r"FAILED +network: libvirt has no network 'default'", told), told
    # passt is there, and QEMU may not use its socket, as where it is confined: libvirt's network again, which says why.
    wrapped = tmp_path / "wrapped"
    wrapped.mkdir()
    (wrapped / "passt").write_text("#!/bin/sh\n/usr/bin/passt \"$@\"; code=$?\nwhile [ \"$1\" != --socket ]; do shift; done\nchmod 0700 \"${2%/*}\"\nexit $code\n")
    (wrapped / "passt").chmod(0o755)
    runner.environment["PATH"] = f"{wrapped}:{os.environ['PATH']}"
    with runner.job(job_id=9064, image="h.example/vms/s:1", retry_pause=0.1) as job:
        assert not job.prepare() and job.result.verdict == "system_failure", job.result.text
        assert "passt cannot provide the VM's network (connect QEMU to passt's socket: QEMU says '" in job.result.text and "libvirt has no network 'default'" in job.result.text, job.result.text
    assert virsh("list", "--all", "--name").stdout.split() == [] and list((tmp_path / "jobs").iterdir()) == []


def test_a_vm_starts_while_its_image_comes(debian, qemu, tmp_path):
    """A chain of two files, which QEMU's account reads from the server and then from the files, and no other account at all."""
    env = debian.store(tmp_path)
    chain = tmp_path / "chain"
    chain.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", debian.guest / "disk.qcow2", chain / "top.qcow2"], check=True)
    (chain / "d.xml").write_text((debian.guest / "domain.xml").read_text().replace("disk.qcow2", "top.qcow2"))
    debian.run("export", "--raw", "--compression", "fast", "--libvirtconfig", chain / "d.xml", "--vmconfig", debian.guest / "vmconfig.json", "s", tmp_path / "layout", env=env)
    registry = LyingRegistry()
    registry.tags["1"] = [registry.add_layout(tmp_path / "layout")]
    registry.rate = 3_000_000
    vms = tmp_path / "vms"
    wrong = []

    def look(chunk):
        """While the VM boots."""
        if b"Waiting for the guest" not in chunk:
            return
        (partial,) = vms.glob(".lazy-*")
        socket = (partial / ".nbd").stat()
        if (socket.st_uid, socket.st_gid, socket.st_mode & 0o777) != (0, qemu.pw_gid, 0o660):
            wrong.append(socket)
        wrong.extend(file for file in (partial / ".order", partial / ".layers") if as_user(qemu.pw_uid, qemu.pw_gid, "cat", file).returncode == 0)
        wrong.extend(file for file in partial.iterdir() if as_user(qemu.pw_uid, qemu.pw_gid, "sh", "-c", f"echo x >>{file}").returncode == 0)
        wrong.extend(open_to_others(vms))
        cannot_be_read_by(12345, 12345, vms)
        wrong.append("looked")

    with registry.serving() as address:
        with debian.runner("", **env, SARDE_LAZY="always", SARDE_INSECURE_REGISTRIES=address).job(job_id=9300, image=f"{address}/vms/s:1", sink=look) as job:
            assert job.prepare() and "the VM starts while it comes (lazy)" in job.result.text, job.result.text
            assert "WARNING" not in job.result.text and wrong == ["looked"], (job.result.text, wrong)
            registry.rate = 0
            deadline = time.monotonic() + 60
            while list(vms.glob(".lazy-*")) and time.monotonic() < deadline:
                time.sleep(0.1)
            (base, top) = sorted(vms.glob("sha256:*/*.qcow2"))
            assert base.read_bytes() == (debian.guest / "disk.qcow2").read_bytes() and top.stat().st_mode & 0o777 == 0o400
            assert job.run_script(bash_script("echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; sudo dd if=/dev/vda bs=1M >/dev/null && echo read")).stdout == b"read\n"
    assert open_to_others(vms) == []

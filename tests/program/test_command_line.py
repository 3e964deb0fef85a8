"""What somebody who types at it gets to read: answers on stdout, all else on stderr, and no libvirt where none is needed."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import termios
import threading

import pytest

from conftest import need


class LibvirtThatGoes(threading.Thread):
    """A socket that leads to the real libvirt until a client calls the procedure (src/remote/remote_protocol.x), and then is shut."""

    def __init__(self, path, libvirt, procedure):
        super().__init__(daemon=True)
        self.libvirt, self.procedure, self.was_called = libvirt, procedure, False
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.start()

    def run(self):
        while True:
            client = self.server.accept()[0]
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(self.libvirt)
            threading.Thread(target=self.pass_on, args=(daemon, client), daemon=True).start()
            threading.Thread(target=self.pass_calls, args=(client, daemon), daemon=True).start()

    @staticmethod
    def pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def pass_calls(self, client, daemon):
        """A call: its length, the program, its version, the procedure, each of four bytes, and the rest."""
        calls = client.makefile("rb")
        with contextlib.suppress(OSError):
            while len(head := calls.read(16)) == 16:
                length, _, _, procedure = struct.unpack(">IIII", head)
                if procedure == self.procedure:
                    self.was_called = True
                    break
                daemon.sendall(head + calls.read(length - 16))
        for end in (client, daemon):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_libvirt_that_goes_is_not_one_without_kvm(place, tmp_path):
    """Jobs would be emulated from then on, slowly, for no reason that anybody sees."""
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "list"], check=True, capture_output=True)
    runtime = "/run" if os.geteuid() == 0 else os.environ["XDG_RUNTIME_DIR"]
    domain_capabilities = 342
    libvirt = LibvirtThatGoes(tmp_path / "libvirt.sock", f"{runtime}/libvirt/libvirt-sock", domain_capabilities)
    said = place.run("selftest", env=place.store(tmp_path) | {"SARDE_CONNECT": f"qemu+unix:///session?socket={tmp_path}/libvirt.sock"}, check=False)
    assert libvirt.was_called, said.stdout
    assert re.search("^FAILED  virtualisation: .*whether it has KVM", said.stdout, re.M), said.stdout


def test_selftest_tries_the_network_that_jobs_get(place, tmp_path):
    """In a network namespace without a route, which passt cannot serve."""
    need(os.geteuid() == 0 and shutil.which("passt"), "a network namespace needs root; passt is not installed")
    short = place.folder / "s"  # the path of passt's socket is limited to 107 bytes
    short.mkdir()
    env = place.environment | place.store(short) | {"SARDE_NETWORK": "passt"}
    told = subprocess.run(["unshare", "-n", place.program, "selftest"], env=env, capture_output=True, text=True)
    assert told.returncode == 2 and "FAILED  network: this host has no default route, which passt needs" in told.stdout, told.stdout
    assert place.run("selftest", env=env).returncode == 0
    for network, said in (("nonsense", "libvirt has no network 'nonsense'"), ("default", "net-list --all")):
        told = place.run("selftest", env=env | {"SARDE_NETWORK": network}, check=False)
        assert told.returncode == 2 and said in told.stdout, told.stdout
    assert list((short / "jobs").iterdir()) == []


def test_selftest_reads_the_files_that_jobs_need(place, tmp_path):
    env = place.store(tmp_path) | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{nonsense")
    told = place.run("selftest", env=env, check=False)
    assert told.returncode == 2 and re.search("^FAILED  credentials: .*docker/config.json", told.stdout, re.M), told.stdout
    (tmp_path / ".docker/config.json").write_text("{}")
    told = place.run("selftest", env=env | {"SARDE_AUTHFILE": str(tmp_path / "none.json"), "SARDE_IDENTITY_FILE": str(tmp_path)}, check=False)
    assert re.search("^FAILED  credentials: .*none.json", told.stdout, re.M) and re.search("^FAILED  identity-file: .*no regular file", told.stdout, re.M), told.stdout


def seen_at_a_terminal(place, arguments, env, columns):
    """What the program writes to a terminal of this width."""
    keyboard, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    subprocess.run([place.program, *arguments], env=place.environment | {"TERM": "xterm"} | env, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):
        while more := os.read(keyboard, 65536):
            seen += more
    os.close(keyboard)
    return seen.decode().replace("\r\n", "\n")


def test_tables_fit_the_terminal(place, tmp_path):
    env = place.store(tmp_path)
    name = f"registry.example.org/a-group/{'long-' * 12}name"
    place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "x", f"{name}:1", env=env)
    for columns in (70, 100):
        lines = seen_at_a_terminal(place, ["list"], env, columns).splitlines()
        assert len(lines) == 2 and max(map(len, lines)) <= columns and "…" in lines[1] and lines[1].endswith("missing"), lines
    assert name in seen_at_a_terminal(place, ["list"], env, 200)
    assert f"{name}:1" in place.run("list", env=env).stdout  # a program reads whole names


def test_colours_are_for_terminals_that_want_them(place, tmp_path):
    env = place.store(tmp_path) | {"SARDE_VCPUSS": "1"}
    warning = "\x1b[33mWARNING:\x1b[0m "
    assert warning in seen_at_a_terminal(place, ["list"], env, 80)
    assert "\x1b[31mERROR:\x1b[0m there is no job" in seen_at_a_terminal(place, ["logs", "7"], env, 80)
    assert "\x1b[32mok \x1b[0m" in seen_at_a_terminal(place, ["selftest"], env, 80)
    for none in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        seen = seen_at_a_terminal(place, ["list"], env | none, 80)
        assert "WARNING: " in seen and "\x1b[3" not in seen, none
    assert "\x1b" not in place.run("selftest", env=env, check=False).stdout + place.run("list", env=env).stderr


def test_version_and_help(place):
    assert place.run("--version").stdout.startswith("sarde-executor ")
    text = place.run("--help").stdout
    for command in ("config", "prepare", "run", "cleanup", "fetch", "import", "pull", "export", "push"):
        assert command in text
    assert "--libvirtconfig" in place.run("export", "--help").stdout


def test_the_link_named_sarde_is_the_same_program(place):
    link = pathlib.Path(place.program).parent / "sarde"
    assert subprocess.run([link, "--version"], capture_output=True, text=True).stdout == place.run("--version").stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["-v"], ["fetch"], ["fetch", "a", "b", "c"], ["prepare", "--nonsense"], ["export", "--chunksize", "x", "a"]])
def test_a_wrong_command_line_is_a_build_failure_and_explained(place, arguments):
    result = place.run(*arguments, check=False)
    assert result.returncode == 1 and result.stdout == "" and result.stderr.startswith("ERROR: ")
    command = arguments[0] + " " if arguments[0] in ("fetch", "prepare", "export") else ""
    assert f"See 'sarde-executor {command}--help'." in result.stderr and "\n\n" not in result.stderr


@pytest.mark.parametrize("arguments,meant", [(["fech", "a"], "fetch"), (["self-test"], "selftest"), (["list", "--jsno"], "--json"), (["pull", "--fetch-timout=3", "x"], "--fetch-timeout"),
                                             (["insp"], "inspect")])
def test_a_mistyped_word_is_asked_about(place, arguments, meant):
    assert f"did you mean '{meant}'?" in place.run(*arguments, check=False).stderr


def test_a_later_word_may_be_called_like_a_command(place, tmp_path):
    refused = place.run("rm", "h.example/none:1", "prune", env=place.store(tmp_path), check=False)
    assert refused.returncode == 1 and "'prune'" in refused.stderr and "h.example/none" in refused.stderr, refused.stderr


def test_a_mistyped_option_in_a_file_or_variable_is_asked_about(place, tmp_path):
    (tmp_path / "s.toml").write_text("boot-timout = 3\n")
    refused = place.run("list", env={"SARDE_CONF_FILES": str(tmp_path / "s.toml")}, check=False)
    assert refused.returncode == 1 and "did you mean 'boot-timeout'?" in refused.stderr
    said = place.run("list", env={"SARDE_BOOT_TIMOUT": "3", "SARDE_OLDER_THAN": "3d"})
    assert "WARNING: environment variable SARDE_BOOT_TIMOUT is ignored" in said.stderr and "did you mean 'boot-timeout'?" in said.stderr
    assert "SARDE_OLDER_THAN is ignored: 'older-than' can only be set on the command line" in said.stderr


def test_what_one_can_do_is_shown_without_asking(place):
    link = pathlib.Path(place.program).parent / "sarde"
    for arguments in ([], ["help"], ["--help"]):
        text = subprocess.run([link, *arguments], capture_output=True, text=True, check=True).stdout
        groups = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
        assert groups == ["Options:", "Stages of a job, called by gitlab-runner:", "Images:", "Virtual machines:", "Running jobs:", "This host:"] and "Usage: sarde " in text
    assert place.run("help", "export").stdout == place.run("export", "--help").stdout
    assert "--boot-timeout TIME=300" in place.run("help", "prepare").stdout
    assert place.run("help", "nonsense", check=False).returncode == 1


@pytest.mark.parametrize("word,value", [("1", True), ("0", False), ("yes", True), ("No", False), ("on", True), ("OFF", False), ("true", True), ("maybe", None)])
def test_a_flag_may_be_said_in_several_words(place, word, value):
    result = place.run("settings", "--json", env={"SARDE_INSECURE": word}, check=False)
    assert result.returncode == (1 if value is None else 0), result.stderr
    if value is not None:
        assert place.run("list", f"--no-run={word}").stdout == ("" if value else place.run("list").stdout)


def test_exit_codes_come_from_the_environment(place):
    result = place.run("fetch", "A B", check=False, env={"BUILD_FAILURE_EXIT_CODE": "41", "SYSTEM_FAILURE_EXIT_CODE": "42"})
    assert result.returncode == 41
    result = place.run("prepare", check=False, env={"BUILD_FAILURE_EXIT_CODE": "41", "SYSTEM_FAILURE_EXIT_CODE": "42"})
    assert result.returncode == 42 and "there is no job" in result.stderr


def test_config_loads_no_libvirt_and_needs_none(place):
    env = place.environment | {"CI_JOB_ID": "5", "LD_DEBUG": "files", "SARDE_CONNECT": "nonsense:///"}
    result = subprocess.run([place.program, "config"], env=env, capture_output=True, text=True)
    assert json.loads(result.stdout)["shell"] == "bash"
    assert "libvirt" not in result.stderr


def test_config_for_the_runners_start_up_check(place):
    with place.runner().job(job_id=2**63 - 1, image="") as job:
        assert job.config().code == 0
        assert "sarde-9223372036854775807-" in job.settings["hostname"]


def test_settings_per_image_reach_config(place):
    config = '[images."*/vms/small*"]\nguest-builds-dir = "/b"\nguest-cache-dir = "/c"\nshell = "sh"\n'
    with place.runner(config).job(job_id=6, image=f"{place.registry}/vms/small") as job:
        job.config()
        assert (job.settings["builds_dir"], job.settings["cache_dir"], job.settings["shell"]) == ("/b", "/c", "sh")
    with place.runner(config).job(job_id=6, image="other/image") as job:
        job.config()
        assert job.settings["builds_dir"] == "/var/tmp/gitlab-runner/builds"


def test_export_import_print_names_alone(place, tmp_path):
    env = {"SARDE_OCIDIR": str(tmp_path / "oci"), "SARDE_VMDIR": str(tmp_path / "vms")}
    exported = place.run("export", "--libvirtconfig", place.guest / "domain.xml", "--vmconfig", place.guest / "vmconfig.json", "--chunksize", "10MiB", "x", "h.example/vms/x:1", env=env)
    assert exported.stdout == "h.example/vms/x:1\n"
    name = place.run("import", "h.example/vms/x:1", env=env).stdout.strip()
    try:
        assert name.startswith("sha256:")
        uuid = place.run("import", "--print-uuid", "h.example/vms/x:1", env=env).stdout.strip()
        known = subprocess.run(["virsh", "-q", "-c", "qemu:///session", "domuuid", name], capture_output=True, text=True).stdout.strip()
        assert uuid == known
        assert subprocess.run(["cmp", place.guest / "disk.qcow2", tmp_path / "vms" / name / "disk.qcow2"]).returncode == 0
        assert all(blob.stat().st_size <= 10 << 20 for blob in (tmp_path / "oci/h.example/vms/x/blobs/sha256").iterdir())
    finally:
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", name], check=True)


def test_a_running_vm_is_not_exported(place, tmp_path):
    xml = tmp_path / "d.xml"
    overlay = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", place.guest / "disk.qcow2", overlay], check=True)
    tmp_path.chmod(0o755)
    xml.write_text((place.guest / "domain.xml").read_text().replace("file='disk.qcow2'", f"file='{overlay}'").replace("sarde-small-guest", "runs"))
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "create", xml], check=True)
    try:
        result = place.run("export", "runs", "h.example/vms/runs:1", check=False)
        assert result.returncode == 1 and "it is running" in result.stderr
    finally:
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", "runs"], check=True)
    result = place.run("export", "runs", "h.example/vms/runs:1", check=False)
    assert result.returncode == 1 and "there is no VM 'runs'" in result.stderr


def peak_kib(place, arguments, env):
    """Largest resident set of the program itself, in KiB (its children, skopeo among them, not counted). A small process starts it,
    for the first thing that counts is what was forked."""
    start = "import os, sys; pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); _, status, usage = os.wait4(pid, 0); print(usage.ru_maxrss, file=sys.stderr); sys.exit(status != 0)"
    result = subprocess.run(["/usr/bin/python3", "-I", "-c", start, place.program, "-q", *map(str, arguments)], env=place.environment | env, capture_output=True, text=True, check=True)
    return int(result.stderr)


def test_memory_does_not_grow_with_the_disk(place, tmp_path, full_speed):
    """Export and import of a raw disk of 4 GiB: 1 GiB of it is data."""
    disk = tmp_path / "large.raw"
    block = os.urandom(1 << 20)
    with open(disk, "wb") as file:
        for i in range(1024):
            file.seek(i * (4 << 20))
            file.write(block)
        file.truncate(4 << 30)
    xml = tmp_path / "d.xml"
    xml.write_text((place.guest / "domain.xml").read_text().replace("disk.qcow2", "large.raw").replace("type='qcow2'", "type='raw'"))
    env = {"SARDE_OCIDIR": str(tmp_path / "oci"), "SARDE_VMDIR": str(tmp_path / "vms"), "SARDE_COMPRESSION": "fast"}
    exported = peak_kib(place, ["export", "--libvirtconfig", xml, "large", "h.example/vms/large:1"], env)
    imported = peak_kib(place, ["import", "--name", "sarde-test-large", "h.example/vms/large:1"], env)
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", "sarde-test-large"], check=True)
    print(f"peak of export {exported / 1024:.1f} MiB, of import {imported / 1024:.1f} MiB")
    # Data that does not compress, so that members are as large as they come, and libvirt's libraries, 8 MiB of them.
    assert exported < 40 << 10 and imported < 36 << 10
    out = tmp_path / "vms" / "sarde-test-large" / "large.raw"
    assert out.stat().st_size == 4 << 30 and out.stat().st_blocks * 512 < 1.2 * (1 << 30)
    assert subprocess.run(["cmp", disk, out]).returncode == 0

"""An image that is not on the host yet: read in one pass, kept once, and what may go wrong on the way."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import need
from lying_registry import LyingRegistry
from standin import Standin, children, sha256
from test_images import domain


@pytest.fixture(scope="module")
def standin(place, tmp_path_factory):
    return Standin(place, tmp_path_factory.mktemp("cold"))


def job_of(standin, reference, policy, **environment):
    """A job that prepares and runs; what its log says, and how it ended."""
    with standin.runner(SARDE_PULL_POLICY=policy, **environment).job(job_id=random.randrange(1 << 30), image=reference) as job:
        job.prepare()
        return job.result.verdict, job.result.text


def packed(standin, reference):
    """Bytes of the image's blobs in the cache."""
    blobs = standin.oci / reference.rsplit(":", 1)[0] / "blobs/sha256"
    return sum(path.stat().st_size for path in blobs.iterdir())


def unpacked(standin):
    (folder,) = [path for path in standin.vms.iterdir() if path.name.startswith("sha256:") and path.is_dir()]
    return folder


def test_a_jobs_host_holds_one_copy_and_brings_the_layers_when_they_are_needed(standin, place):
    reference = standin.publish(random.Random(5), "one", [3000])
    verdict, log = job_of(standin, reference, "always")
    assert verdict == "success" and "Fetched and unpacked image" in log, log
    assert packed(standin, reference) < 20_000 and sha256(unpacked(standin) / "disk0.raw") in standin.good
    # What is said of it.
    (listed,) = json.loads(standin.run("list", "--json").stdout)
    assert listed["layers_kept"] is False and "not kept" in standin.run("list").stdout
    assert json.loads(standin.run("inspect", "--json", reference).stdout)["layers_kept"] is False
    shown = standin.run("inspect", reference).stdout
    assert "not kept in the cache (keep-blobs)" in shown and "disk0.raw" in shown
    verified = standin.run("verify").stdout
    assert "1 layers are not kept (keep-blobs)" in verified and "unpacked for jobs and clones" in verified
    # Used as it is.
    for policy in ("never", "if-not-present", "always"):
        verdict, log = job_of(standin, reference, policy)
        assert verdict == "success" and "npacked" not in log.replace("The image's disks are already unpacked", ""), log
    # Gone: by its policy a job brings it again, or says what to do.
    shutil.rmtree(unpacked(standin))
    verdict, log = job_of(standin, reference, "never")
    assert verdict != "success" and "its disks are no longer on this host, and pull policy 'never'" in log and "'sarde fetch'" in log
    verdict, log = job_of(standin, reference, "if-not-present")
    assert verdict == "success" and "Fetched and unpacked image" in log, log
    # Damaged: the same.
    disk = unpacked(standin) / "disk0.raw"
    disk.chmod(0o600)
    disk.write_bytes(b"x")
    verdict, log = job_of(standin, reference, "if-not-present")
    assert verdict == "success" and "are not what was unpacked there: they are unpacked again" in log, log
    assert sha256(unpacked(standin) / "disk0.raw") in standin.good
    # A base VM is made of what is unpacked, without the registry.
    nobody = {"SARDE_INSECURE_REGISTRIES": "", "http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    standin.run("import", "-n", "based", reference, env=nobody)
    assert sha256(standin.vms / "based/disk0.raw") in standin.good
    assert packed(standin, reference) < 20_000
    # A push needs the layers; and after that they stay.
    pushed = standin.run("push", "-t", f"{place.registry}/standin/elsewhere:1", reference)
    assert "has not kept the layers" in pushed.stderr and packed(standin, reference) > 3_000_000
    assert json.loads(standin.run("list", "--json").stdout)[0]["layers_kept"] is True
    shutil.rmtree(unpacked(standin))
    verdict, log = job_of(standin, reference, "never")
    assert verdict == "success", log


def test_keep_blobs(standin):
    reference = standin.publish(random.Random(6), "kept", [1500])
    verdict, log = job_of(standin, reference, "always", SARDE_KEEP_BLOBS="true")
    assert verdict == "success" and packed(standin, reference) > 1_500_000, log


@pytest.fixture
def liar(place, tmp_path):
    registry = LyingRegistry()
    with registry.serving() as address:
        registry.address, registry.folder = address, tmp_path
        registry.env = place.store(tmp_path) | {"SARDE_INSECURE_REGISTRIES": address, "SARDE_CONNECT": "test:///default"}

        def publish(content, **options):
            source = tmp_path / f"source-{len(registry.blobs)}"
            source.mkdir()
            (source / "disk.raw").write_bytes(content)
            (source / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
            place.run("export", "--raw", "--compression", "fast", "--libvirtconfig", source / "d.xml", "x", source / "layout", env=registry.env)
            registry.tags["1"] = [registry.add_layout(source / "layout")]
            return f"{address}/vms/a:1"

        registry.publish = publish
        yield registry


def test_a_skopeo_without_a_proxy_copies(place, liar, tmp_path):
    """As a later skopeo might have it, which would not know the experimental command, or speak another protocol."""
    reference = liar.publish(random.Random(1).randbytes(2_000_000))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("none", 'echo "time=now level=fatal msg=\\"unknown command \\\\\\"experimental-image-proxy\\\\\\" for \\\\\\"skopeo\\\\\\"\\"" >&2; exit 1'),
                       ("another protocol", 'exec python3 -c "import socket; s = socket.socket(fileno=0); s.recv(9999); s.send(b\'{\\"success\\": true, \\"value\\": \\"1.0.0\\", \\"pipeid\\": 0, \\"error\\": \\"\\"}\'); s.recv(1)"')):
        (tools / "skopeo").write_text(f'#!/bin/sh\ncase " $* " in *" experimental-image-proxy "*) {body};; esac\nexec {shutil.which("skopeo")} "$@"\n')
        (tools / "skopeo").chmod(0o755)
        env = liar.env | {"PATH": f"{tools}:{os.environ['PATH']}"}
        said = place.run("pull", "-v", "-n", f"copied-{name[:4]}", reference, env=env).stderr
        assert " copy --quiet " in said and (tmp_path / f"vms/copied-{name[:4]}/disk.raw").stat().st_size == 2_000_000, said
        shutil.rmtree(tmp_path / "oci")


def test_a_proxy_that_is_killed_is_started_again(place, liar):
    reference = liar.publish(random.Random(2).randbytes(60 << 20))
    liar.pause = 0.05  # for each MiB
    command = subprocess.Popen([place.program, "pull", "-n", "killed", reference], env=place.environment | liar.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = set()
    deadline = time.monotonic() + 60
    while command.poll() is None and time.monotonic() < deadline and len(killed) < 2:
        for pid, name in children(command.pid).items():
            if name == "skopeo" and pid not in killed and sum("/blobs/" in path for path in liar.asked) >= 4 * (len(killed) + 1):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.02)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == 0 and len(killed) == 2 and "skopeo was killed, or has failed" in errors, errors
    assert sha256(liar.folder / "vms/killed/disk.raw") == sha256(next(liar.folder.glob("source-*/disk.raw")))


def test_a_registry_that_sends_something_else_the_second_time(place, liar):
    """The first transfer of a layer breaks half-way, and the second one brings other bytes: whatever was unpacked of the first is no part of anything."""
    reference = liar.publish(random.Random(3).randbytes(900_000))
    (layer,) = [digest for digest, blob in liar.blobs.items() if len(blob) > 800_000]
    right, wrong = liar.blobs[layer], bytearray(liar.blobs[layer])
    wrong[1000] ^= 1
    for first, second, code in ((bytes(wrong), right, 1), (right, bytes(wrong), 1), (right, right, 0)):
        liar.turns = {layer: [first, second]}
        liar.cuts = 1
        pulled = place.run("pull", "-n", "twice", reference, env=liar.env, check=False)
        assert pulled.returncode == code, pulled.stderr
        if code:
            assert "other content than the image's manifest says" in pulled.stderr, pulled.stderr
            assert not (liar.folder / "vms/twice").exists()
    assert sha256(liar.folder / "vms/twice/disk.raw") == sha256(next(liar.folder.glob("source-*/disk.raw")))


def test_a_registry_that_stalls_is_given_up_in_time(place, liar):
    reference = liar.publish(random.Random(4).randbytes(8 << 20))
    liar.stalls = True
    start = time.monotonic()
    stalled = place.run("pull", "-n", "stalled", reference, env=liar.env | {"SARDE_FETCH_TIMEOUT": "4s"}, check=False)
    assert stalled.returncode == 2 and "did not send all of it in time (fetch-timeout)" in stalled.stderr, stalled.stderr
    assert 3.5 < time.monotonic() - start < 20
    assert not (liar.folder / "vms/stalled").exists() and not list((liar.folder / "vms").glob(".incoming-*"))


def test_a_transfer_that_broke_goes_on_where_it_was(place, tmp_path):
    """A job keeps no layers: what was unpacked of those that came whole is what the next job begins with."""
    standin = Standin(place, tmp_path / "world")
    content = random.Random(7).randbytes(70 << 20)
    source = tmp_path / "source"
    source.mkdir()
    (source / "disk.raw").write_bytes(content)
    (source / "d.xml").write_text(domain("x", ("disk.raw", "raw"), device="<interface type='user'><model type='virtio'/></interface>"))
    standin.run("export", "--raw", "--compression", "fast", "--libvirtconfig", source / "d.xml", "x", source / "layout")
    registry = LyingRegistry()
    registry.tags["1"] = [registry.add_layout(source / "layout")]
    layers = [layer["digest"] for layer in json.loads(registry.blobs[registry.tags["1"][0]])["layers"] if "+gzip" in layer["mediaType"]]
    assert len(layers) == 5
    with registry.serving() as address:
        env = {"SARDE_INSECURE_REGISTRIES": address, "SARDE_FETCH_TIMEOUT": "2s"}
        registry.lacks = {layers[3]}
        verdict, log = job_of(standin, f"{address}/vms/a:1", "always", **env)
        assert verdict == "system_failure" and "the registry has failed" in log, log
        (kept,) = standin.vms.glob(".unfinished-sha256:*")
        assert not list(standin.vms.glob("sha256:*[0-9a-f]")) and packed(standin, f"{address}/vms/a:1") < 20_000
        registry.lacks, registry.asked = set(), []
        verdict, log = job_of(standin, f"{address}/vms/a:1", "always", **env)
        assert verdict == "success" and "taken from images that were there" in log, log
        asked = {path.rsplit("/", 1)[1] for path in registry.asked if "/blobs/" in path}
        assert asked & set(layers) == set(layers[3:]) or asked & set(layers) == set(layers[2:]), asked
        assert not kept.exists() and (unpacked(standin) / "disk.raw").read_bytes() == content
        # What was kept is not believed: damaged, it is brought again.
        registry.lacks = {layers[3]}
        shutil.rmtree(unpacked(standin))
        assert job_of(standin, f"{address}/vms/a:1", "always", **env)[0] == "system_failure"
        with open(kept / "disk.raw", "r+b") as disk:
            look = os.fstat(disk.fileno())
            disk.write(b"damage")
        os.utime(kept / "disk.raw", ns=(look.st_atime_ns, look.st_mtime_ns))
        registry.lacks = set()
        verdict, log = job_of(standin, f"{address}/vms/a:1", "always", **env)
        assert verdict == "success" and (unpacked(standin) / "disk.raw").read_bytes() == content, log
        # Nobody tries again: gc removes it after a day.
        registry.lacks = {layers[3]}
        shutil.rmtree(unpacked(standin))
        assert job_of(standin, f"{address}/vms/a:1", "always", **env)[0] == "system_failure"
        standin.run("gc")
        assert kept.exists()
        os.utime(kept, (1, 1))
        standin.run("gc")
        assert not kept.exists()


@pytest.fixture
def platter(tmp_path):
    """A file system whose writes can be seen as they reach its disk, and a way to lose the rest: mounts what has reached it by now."""
    need(os.geteuid() == 0 and os.path.exists("/dev/loop-control"), "only root can mount a file system")
    image, mounted = tmp_path / "platter", []

    def mount(file, name):
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["mount", "-o", "loop", file, folder], check=True)
        mounted.append(folder)
        return folder

    def cut(name):
        copy = tmp_path / f"{name}.image"
        shutil.copyfile(image, copy)
        return mount(copy, name)

    subprocess.run(["truncate", "-s", "400M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mount(image, "vms-before")
    yield tmp_path / "vms-before", cut
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_power_cut_before_the_disks_were_on_the_platter(place, tmp_path, platter):
    """No job waits until its disks are on the platter. After a power cut they may be anything, and are unpacked again; once they were synced, they are
    used as they are."""
    before, cut = platter
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(8), "cut", [40_000])
    another_boot = tmp_path / "another-boot"
    another_boot.write_text("#!/bin/sh\nexec unshare -m sh -c 'mount --bind " + str(tmp_path / "boot_id") + " /proc/sys/kernel/random/boot_id; exec \"$0\" \"$@\"' " + standin.program + ' "$@"\n')
    another_boot.chmod(0o755)
    (tmp_path / "boot_id").write_text("00000000-1111-2222-3333-444444444444\n")

    def after_the_cut(vms):
        """A job after the next boot; its log."""
        first, standin.program = standin.program, str(another_boot)
        try:
            verdict, log = job_of(standin, reference, "if-not-present", SARDE_VMDIR=str(vms))
        finally:
            standin.program = first
        (disk,) = vms.glob("sha256:*/disk0.raw")
        assert verdict == "success" and sha256(disk) in standin.good, log
        return log

    with standin.runner(SARDE_VMDIR=str(before)).job(job_id=881, image=reference) as job:
        assert job.prepare(), job.result.text
        (marker,) = before.glob("sha256:*/.sarde-image.json")
        assert json.loads(marker.read_text())["boot"] and (marker.parent / ".sarde-unsynced").exists()
        lost = cut("vms-lost")
        zeroed = tmp_path / "vms-zeroed"  # the marker has reached the platter, and one MiB in the midst of the disk has not: a sample rarely shows that
        shutil.copytree(before, zeroed, ignore=shutil.ignore_patterns("lost+found"))
        (disk,) = zeroed.glob("sha256:*/disk0.raw")
        look = disk.stat()
        disk.chmod(0o600)
        with open(disk, "r+b") as file:
            file.seek(20 << 20)
            file.write(bytes(1 << 20))
        os.utime(disk, ns=(look.st_atime_ns, look.st_mtime_ns))
    assert "npacked" in after_the_cut(lost)
    assert "are not what was unpacked there: they are unpacked again" in after_the_cut(zeroed)
    # cleanup has synced them.
    assert "boot" not in json.loads(marker.read_text()) and not (marker.parent / ".sarde-unsynced").exists()
    log = after_the_cut(cut("vms-kept"))
    assert "npacked" not in log.replace("The image's disks are already unpacked", ""), log


def test_gc_reads_unpacked_disks_at_leisure(place, tmp_path):
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(9), "read", [5_000])
    assert job_of(standin, reference, "always")[0] == "success"
    folder = unpacked(standin)
    os.utime(folder, (1_000_000_000, 1_000_000_000))
    assert f"Read the disks in {folder}" in standin.run("gc", "-v").stderr
    assert folder.stat().st_mtime == 1_000_000_000  # that is no use of the image, by which prune would go
    assert "Read the disks" not in standin.run("gc", "-v").stderr  # not more than once a week
    disk = folder / "disk0.raw"
    look = disk.stat()
    disk.chmod(0o600)
    with open(disk, "r+b") as file:
        file.seek(3_000_000)
        file.write(b"rot")
    os.utime(disk, ns=(look.st_atime_ns, look.st_mtime_ns))
    os.utime(folder / ".sarde-checked", (1, 1))
    assert "Would" not in standin.run("gc", "--dry-run").stderr and (folder / ".sarde-image.json").exists()
    warned = standin.run("gc").stderr
    assert f"the disks in {folder} are damaged (disk0.raw): the next job unpacks the image again" in warned, warned
    assert "the next job unpacks again" in standin.run("verify").stdout and standin.run("gc").stderr == ""
    verdict, log = job_of(standin, reference, "if-not-present")
    assert verdict == "success" and sha256(unpacked(standin) / "disk0.raw") in standin.good, log


def test_an_image_whose_config_lies_about_its_disks_is_named(place, tmp_path):
    """Jobs do not compare: the blobs determine the disks. gc and verify do, and say that it is the image."""
    standin = Standin(place, tmp_path / "world")
    source = tmp_path / "source"
    source.mkdir()
    (source / "disk.raw").write_bytes(random.Random(10).randbytes(3_000_000))
    (source / "d.xml").write_text(domain("x", ("disk.raw", "raw"), device="<interface type='user'><model type='virtio'/></interface>"))
    standin.run("export", "--raw", "--libvirtconfig", source / "d.xml", "x", source / "layout")
    registry = LyingRegistry()
    manifest = json.loads(registry.blobs[registry.add_layout(source / "layout")])
    config = json.loads(registry.blobs[manifest["config"]["digest"]])
    config["rootfs"]["diff_ids"][-1] = "sha256:" + "5" * 64
    content = json.dumps(config).encode()
    manifest["config"] |= {"digest": registry.add(content), "size": len(content)}
    registry.tags["1"] = [registry.add(json.dumps(manifest).encode())]
    with registry.serving() as address:
        env = {"SARDE_INSECURE_REGISTRIES": address}
        assert job_of(standin, f"{address}/vms/a:1", "always", **env)[0] == "success"
        for _ in range(2):
            said = standin.run("gc", env=env).stderr
            os.utime(unpacked(standin) / ".sarde-checked", (1, 1))
            assert "the image's config states other digests of them (disk.raw): whoever made the image has to export it again" in said, said
        verified = standin.run("verify", check=False)
        assert verified.returncode == 2 and "are not what the image's config states" in verified.stdout
        standin.run("selftest", "--json", check=False)
        verdict, log = job_of(standin, f"{address}/vms/a:1", "always", **env)
        assert verdict == "success" and "Up to date" in log, log
        # A base VM has its name from the config.
        refused = standin.run("import", "-n", "base", f"{address}/vms/a:1", env=env, check=False)
        assert refused.returncode == 1 and "does not match its digest in the image config" in refused.stderr, refused.stderr


def test_who_knows_a_private_images_manifest_has_not_its_disks(place, tmp_path):
    """Another registry serves the documents of a private image that is here, and none of its layers."""
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(11), "private", [2_000])
    auth = json.dumps({"auths": {place.registry: {"auth": "dTpw"}}})
    with standin.runner(SARDE_PULL_POLICY="always").job(job_id=901, image=reference, variables={"DOCKER_AUTH_CONFIG": auth}) as job:
        assert job.prepare(), job.result.text
    (mark,) = standin.oci.rglob(".sarde.private/*")
    thief = LyingRegistry()
    layout = standin.oci / reference.rsplit(":", 1)[0]
    thief.tags["1"] = [thief.add_layout(layout)]  # the layers are not in the cache
    with thief.serving() as address:
        env = {"SARDE_INSECURE_REGISTRIES": f"{address},{place.registry}", "SARDE_FETCH_TIMEOUT": "10s"}
        verdict, log = job_of(standin, f"{address}/vms/a:1", "always", **env)
        assert verdict != "success" and "the registry does not have it" in log, log
        # The same layers in an image of another name, whose digests a stranger may know.
        cloned = standin.run("clone", f"{address}/vms/a:1", "stolen", env=env, check=False)
        assert cloned.returncode == 1 and not (standin.vms / "stolen").exists(), cloned.stderr
    # An administrator's clone does not make it everybody's.
    standin.run("clone", reference, "administrators")
    assert mark.exists()
    # Its own repository may.
    with standin.runner(SARDE_PULL_POLICY="always").job(job_id=902, image=reference, variables={"DOCKER_AUTH_CONFIG": auth}) as job:
        assert job.prepare(), job.result.text


def test_without_a_proxy_a_job_keeps_no_layers_either(place, tmp_path):
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(12), "copied", [2_000])
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "skopeo").write_text(f'#!/bin/sh\ncase " $* " in *" experimental-image-proxy "*) echo unknown command >&2; exit 1;; esac\nexec {shutil.which("skopeo")} "$@"\n')
    (tools / "skopeo").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    assert '"where": "registry"' in standin.run("inspect", "--remote", "--json", reference, env={"PATH": path}).stdout
    verdict, log = job_of(standin, reference, "always", PATH=path)
    assert verdict == "success" and packed(standin, reference) < 20_000, log
    # All layers are known from another image: only the documents are asked for.
    source = standin.folder / "source/copied"
    (source / "d.xml").write_text((source / "d.xml").read_text().replace("copied", "renamed"))
    standin.run("export", "--compression", "fast", "--libvirtconfig", source / "d.xml", "renamed", reference.replace("copied", "renamed"), env={"SARDE_OCIDIR": str(source / "oci")})
    standin.run("push", reference.replace("copied", "renamed"), env={"SARDE_OCIDIR": str(source / "oci")})
    verdict, log = job_of(standin, reference.replace("copied", "renamed"), "always", PATH=path)
    assert verdict == "success" and "taken from images that were there" in log, log


def test_a_vm_that_may_not_be_served_waits_for_its_image(standin):
    reference = standin.publish(random.Random(8), "confined", [40_000])
    (standin.domains / "fail-served").touch()
    verdict, log = job_of(standin, reference, "always", SARDE_LAZY="always")
    (standin.domains / "fail-served").unlink()
    assert verdict == "success" and "WARNING: the VM cannot start before its image is there: stand-in: QEMU may not connect to" in log, log
    assert "Fetched the rest of the image's disks" in log and not list(standin.vms.glob(".lazy-*"))
    assert standin.violations() == []

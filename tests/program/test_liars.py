"""Registries that answer one thing and send another."""
import json
import os
import platform
import signal
import subprocess
import time

import pytest

from lying_registry import LyingRegistry
from test_images import domain

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER = "arm64" if HERE != "arm64" else "amd64"


@pytest.fixture
def liar(place, tmp_path):
    registry = LyingRegistry()
    with registry.serving() as address:
        registry.address = address
        registry.env = place.store(tmp_path) | {"SARDE_INSECURE_REGISTRIES": address}
        registry.run = lambda *arguments, check=True, **env: place.run(*arguments, env=registry.env | env, check=check)

        def publish(content):
            """An image with this disk; its manifest's digest."""
            source = tmp_path / f"source-{len(registry.blobs)}"
            source.mkdir()
            (source / "disk.raw").write_bytes(content)
            (source / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
            place.run("export", "--raw", "--libvirtconfig", source / "d.xml", "x", source / "layout", env=registry.env)
            return registry.add_layout(source / "layout")

        registry.publish = publish
        registry.folder = tmp_path
        yield registry


def blobs_there(liar):
    return [path for path in liar.folder.glob("oci/**/sha256/*") if not path.name.startswith(".")]


def used(folder):
    return int(subprocess.run(["du", "-sm", folder], capture_output=True, text=True, check=True).stdout.split()[0])


def gets_of_blobs(liar):
    return [path for path in liar.asked if path.startswith("GET") and "/blobs/" in path]


def test_a_tag_that_moves_between_question_and_transfer(liar):
    first, second = liar.publish(b"first" * 1000), liar.publish(b"second" * 1000)
    liar.tags["1"] = [first, second]
    reference = f"{liar.address}/vms/a:1"
    said = liar.run("pull", "-n", "moving", reference, check=False, SARDE_CONNECT="test:///default")
    assert first in said.stderr and second not in said.stderr, said.stderr
    assert not [path for path in liar.asked if second in path]
    assert json.loads(liar.run("list", "--json").stdout)[0]["digest"] == first
    assert (liar.folder / "vms/moving/disk.raw").read_bytes() == b"first" * 1000
    assert second in liar.run("fetch", reference).stderr


def test_an_index_is_resolved_once_and_the_image_for_this_host_comes(liar):
    mine, others = liar.publish(b"mine" * 1000), liar.publish(b"others" * 1000)
    liar.tags["1"] = [liar.index((others, "linux", OTHER), (others, "windows", HERE), (mine, "linux", HERE))]
    reference = f"{liar.address}/vms/a:1"
    assert mine in liar.run("fetch", reference).stderr
    assert not [path for path in liar.asked if others in path]
    assert json.loads(liar.run("list", "--json").stdout)[0]["digest"] == mine
    assert json.loads(liar.run("inspect", "--json", "--remote", reference).stdout)["digest"] == mine


@pytest.mark.parametrize("what,sentence", [("another processor", f"'linux/{OTHER}'"), ("another system", f"'windows/{HERE}'"), ("nothing", "none at all"), ("an index", "an index of indexes"),
                                           ("docker's own kind", "push it as OCI")])
def test_an_index_without_an_image_for_this_host_is_refused_at_once(liar, what, sentence):
    image = liar.publish(b"x" * 1000)
    entries = {"another processor": [(image, "linux", OTHER)], "another system": [(image, "windows", HERE)], "nothing": [],
               "an index": [(liar.index((image, "linux", HERE)), "linux", HERE)]}
    if what == "docker's own kind":
        manifest = json.loads(liar.blobs[image]) | {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
        liar.tags["1"] = [liar.add(json.dumps(manifest).encode())]
    else:
        liar.tags["1"] = [liar.index(*entries[what])]
    refused = liar.run("fetch", f"{liar.address}/vms/a:1", check=False)
    assert refused.returncode == 1 and sentence in refused.stderr, refused.stderr
    assert not gets_of_blobs(liar) and not (liar.folder / "oci").exists() or not blobs_there(liar)


@pytest.mark.parametrize("which", ["config", "disk"])
def test_a_blob_without_end_is_stopped_before_the_disk_is_full(liar, which):
    image = liar.publish(os.urandom(300_000))
    manifest = json.loads(liar.blobs[image])
    blob = manifest["config"] if which == "config" else manifest["layers"][-1]
    liar.endless.add(blob["digest"])
    liar.tags["1"] = [image]
    for command in (("fetch",), ("pull", "-n", "x")):
        before = used(liar.folder)
        refused = liar.run(*command, f"{liar.address}/vms/a:1", check=False, SARDE_CONNECT="test:///default")
        assert refused.returncode == 1 and "sends other content than the image's manifest says" in refused.stderr, refused.stderr
        assert used(liar.folder) - before < 50
    assert liar.sent < 1500 << 20, "it was stopped, not drained"
    assert liar.run("list").stdout.count("\n") <= 1 and not blobs_there(liar)


def test_what_is_too_large_is_not_even_begun(liar):
    liar.tags["1"] = [liar.publish(os.urandom(3_000_000))]
    liar.tags["index"] = [liar.index((liar.tags["1"][0], "linux", HERE))]
    for tag in ("1", "index"):
        for command in (("fetch",), ("pull", "-n", "x"), ("clone",), ("inspect", "--remote")):
            words = ("y",) if command == ("clone",) else ()
            refused = liar.run(*command, f"{liar.address}/vms/a:{tag}", *words, check=False, SARDE_MAX_IMAGE="1MiB", SARDE_CONNECT="test:///default")
            assert refused.returncode == 1 and "more than max-image" in refused.stderr, (command, refused.stderr)
    assert gets_of_blobs(liar) == [] and not blobs_there(liar)


def test_another_manifest_than_was_asked_for_by_its_digest(liar):
    asked, given = liar.publish(b"asked" * 1000), liar.publish(b"given" * 1000)
    liar.blobs[asked] = liar.blobs[given]
    refused = liar.run("fetch", f"{liar.address}/vms/a@{asked}", check=False)
    assert refused.returncode == 2 and "another manifest" in refused.stderr, refused.stderr
    assert not blobs_there(liar)


def test_a_refused_domain_leaves_nothing_of_its_image(liar):
    """The domain is looked at as soon as it has come, and not when the cache holds all of the image."""
    image = liar.publish(os.urandom(300_000))
    manifest = json.loads(liar.blobs[image])
    evil = domain("x", ("disk.raw", "raw")).replace("</devices>", "<hostdev mode='subsystem' type='pci'/></devices>").encode()
    config = json.loads(liar.blobs[manifest["config"]["digest"]])
    at = next(i for i, layer in enumerate(manifest["layers"]) if layer["mediaType"].startswith("application/vnd.libvirt.domain"))
    config["rootfs"]["diff_ids"][at] = manifest["layers"][at]["digest"] = liar.add(evil)
    manifest["layers"][at]["size"] = len(evil)
    text = json.dumps(config).encode()
    manifest["config"] |= {"digest": liar.add(text), "size": len(text)}
    liar.tags["1"] = [liar.add(json.dumps(manifest).encode())]
    job = {"CI_JOB_ID": "1", "CI_JOB_IMAGE": f"{liar.address}/vms/a:1", "SARDE_CONNECT": "qemu:///session"}
    liar.faults["manifests"], liar.faults["blobs"] = [(503, {})], [(502, {})]  # a job tries again, as commands do
    refused = liar.run("prepare", check=False, **job)
    assert refused.returncode == 1 and "<devices/hostdev>" in refused.stderr, refused.stderr
    assert refused.stderr.count("trying again in 1.0 s") == 2, refused.stderr
    assert not blobs_there(liar) and "vms/a" not in liar.run("list").stdout
    assert not [path for path in (liar.folder / "vms").iterdir() if path.is_dir()] and not list((liar.folder / "jobs").iterdir())


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(liar, kind, status):
    image = liar.publish(os.urandom(300_000))
    liar.tags["1"] = [image]
    liar.faults[kind] = [(status, {})]
    said = liar.run("fetch", f"{liar.address}/vms/a:1")
    retries = [line for line in said.stderr.splitlines() if "trying again in 1.0 s (try 2 of 6)" in line]
    assert len(retries) == 1 and str(status) in retries[0], said.stderr
    assert image in said.stderr and image in liar.run("list", "--json").stdout


def test_a_rate_limit_is_kept_to(liar):
    image = liar.publish(os.urandom(300_000))
    liar.tags["1"] = [image]
    liar.faults["manifests"] = [(429, {"Retry_After": "2"})]
    start = time.monotonic()
    liar.run("fetch", f"{liar.address}/vms/a:1")
    assert time.monotonic() - start > 1.9


@pytest.mark.parametrize("command", [("fetch",), ("pull", "-n", "x")])
def test_layers_that_came_are_kept_when_the_connection_breaks(liar, command):
    liar.tags["1"] = [liar.publish(os.urandom(300_000))]
    liar.cuts = 2
    said = liar.run(*command, f"{liar.address}/vms/a:1", SARDE_CONNECT="test:///default")
    assert "the connection to the registry broke" in said.stderr and said.stderr.count("trying again") == 2, said.stderr
    small = [path for path in gets_of_blobs(liar)]
    large = json.loads(liar.blobs[liar.tags["1"][0]])["layers"][-1]["digest"]
    assert len([path for path in small if large in path]) == 3 and len([path for path in small if large not in path]) == len({path for path in small if large not in path})


@pytest.mark.parametrize("kind,status,code", [("manifests", 401, 1), ("manifests", 403, 1), ("manifests", 404, 1), ("manifests", 413, 1), ("blobs", 403, 1), ("blobs", 404, 1)])
def test_what_cannot_succeed_is_asked_once(liar, kind, status, code):
    liar.tags["1"] = [liar.publish(b"x" * 1000)]
    liar.faults[kind] = [(status, {"WWW_Authenticate": 'Basic realm="r"'} if status == 401 else {})] * 20
    refused = liar.run("fetch", f"{liar.address}/vms/a:1", check=False)
    assert refused.returncode == code and "trying again" not in refused.stderr, refused.stderr


def test_a_registry_that_stays_busy_is_given_up_within_the_time(liar):
    liar.tags["1"] = [liar.publish(b"x" * 1000)]
    liar.faults["manifests"] = [(503, {})] * 50
    start = time.monotonic()
    refused = liar.run("fetch", f"{liar.address}/vms/a:1", check=False, SARDE_FETCH_TIMEOUT="5")
    assert refused.returncode == 2 and "busy or being restarted" in refused.stderr and "tried 3 times" in refused.stderr, refused.stderr
    assert time.monotonic() - start < 5


def test_a_pause_ends_when_the_command_is_stopped(liar, place):
    liar.tags["1"] = [liar.publish(b"x" * 1000)]
    liar.faults["manifests"] = [(503, {})] * 50
    command = subprocess.Popen([place.program, "fetch", f"{liar.address}/vms/a:1"], env=place.environment | liar.env, stderr=subprocess.PIPE, text=True)
    while "trying again in 2.0 s" not in (line := command.stderr.readline()):
        assert line
    start = time.monotonic()
    command.send_signal(signal.SIGINT)
    assert command.wait(timeout=10) == 130 and time.monotonic() - start < 1
    assert "ERROR: stopped by SIGINT; no image and no VM is left half made\n" in command.stderr.read()


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_push_is_tried_again(liar, status):
    liar.tags["1"] = [liar.publish(os.urandom(300_000))]
    liar.run("fetch", f"{liar.address}/vms/a:1")
    liar.takes, liar.blobs = True, {}
    liar.faults["uploads"] = [(status, {})]
    said = liar.run("push", "-t", f"{liar.address}/vms/b:1", f"{liar.address}/vms/a:1")
    assert said.stderr.count("trying again") == 1, said.stderr


@pytest.mark.parametrize("kind,status,sentence", [("uploads", 413, "--chunksize"), ("uploads", 405, "read-only"), ("manifests", 507, "disk is full")])
def test_a_push_that_cannot_succeed_says_why_at_once(liar, kind, status, sentence):
    image = liar.publish(os.urandom(300_000))
    liar.tags["1"] = [image]
    liar.run("fetch", f"{liar.address}/vms/a:1")
    largest = max(json.loads(liar.blobs[image])["layers"], key=lambda layer: layer["size"])
    liar.takes, liar.blobs = True, {}
    liar.faults[kind] = [(status, {})] * 20
    refused = liar.run("push", "-t", f"{liar.address}/vms/b:1", f"{liar.address}/vms/a:1", check=False)
    assert sentence in refused.stderr and "trying again" not in refused.stderr, refused.stderr
    assert status != 413 or largest["digest"] in refused.stderr


def test_the_platform_may_be_chosen(liar):
    mine, others, windows = liar.publish(b"mine" * 1000), liar.publish(b"others" * 1000), liar.publish(b"windows" * 1000)
    liar.tags["1"] = [liar.index((others, "linux", OTHER), (windows, "windows", HERE), (mine, "linux", platform.machine()))]
    reference = f"{liar.address}/vms/a:1"
    assert mine in liar.run("fetch", reference).stderr
    for given, image in ((f"linux/{OTHER}", others), (OTHER, others), (f"windows/{HERE}", windows)):
        assert image in liar.run("fetch", "--platform", given, reference).stderr
    refused = liar.run("fetch", "--platform", "plan9/386", reference, check=False)
    assert refused.returncode == 1 and "'plan9/386'" in refused.stderr and f"'windows/{HERE}'" in refused.stderr


TAR = "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize("layer,annotations,sentence", [
    (TAR + "+gzip", {}, "containerDisk of kubevirt"), ("application/vnd.docker.image.rootfs.diff.tar.gzip", {}, "is it a container image"),
    (TAR, {"org.opencontainers.image.title": "debian.qcow2"}, "as ORAS pushes them ('debian.qcow2')"), ("application/x-qemu-disk+zstd", {}, "compressed with zstd"),
    ("application/vnd.cirruslabs.tart.disk.v2", {}, "an image of Tart")])
def test_other_images_are_called_what_they_are(liar, layer, annotations, sentence):
    blob = liar.add(os.urandom(1000))
    config = liar.add(b"{}")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
                "layers": [{"mediaType": layer, "digest": blob, "size": 1000, "annotations": annotations}]}
    liar.tags["1"] = [liar.add(json.dumps(manifest).encode())]
    refused = liar.run("fetch", f"{liar.address}/vms/a:1", check=False)
    assert refused.returncode == 1 and sentence in refused.stderr, refused.stderr
    assert not gets_of_blobs(liar)

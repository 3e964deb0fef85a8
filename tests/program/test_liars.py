"""Registries that answer one thing and send another."""
import json
import os
import platform
import subprocess

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
        # (skopeo itself takes no config above 4 MiB)
        sentence = "a document of the image is larger than any may be" if which == "config" else "sends more than the image's manifest says"
        assert refused.returncode == 1 and sentence in refused.stderr, refused.stderr
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
    job = {"CI_JOB_ID": "1", "CI_JOB_IMAGE": f"{liar.address}/vms/a:1", "SARDE_CONNECT": "qemu+unix:///session?socket=/nonexistent"}
    refused = liar.run("prepare", check=False, **job)
    assert refused.returncode == 1 and "<devices/hostdev>" in refused.stderr, refused.stderr
    assert not blobs_there(liar) and "vms/a" not in liar.run("list").stdout
    assert not [path for path in (liar.folder / "vms").iterdir() if path.is_dir()] and not list((liar.folder / "jobs").iterdir())

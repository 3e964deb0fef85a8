"""Who may have which image, and what a job may set: with the stand-in hypervisor, a registry that asks for passwords."""
import base64
import crypt  # gone in Python 3.13; Debian 12 has 3.11
import hashlib
import json
import os
import random
import shutil
import time
import urllib.request

import pytest

from standin import Standin
from test_registries import serve  # noqa: F401: a fixture

USERS = {"docker": "docker's word", "jobs": "the job's word", "host": "the host's word"}


def auths(address, user, password=None):
    return json.dumps({"auths": {address: {"auth": base64.b64encode(f"{user}:{password or USERS[user]}".encode()).decode()}}})


@pytest.fixture
def private(place, serve, tmp_path):  # noqa: F811
    """A stand-in whose one image is at a registry that knows three users; nobody has logged in there on this machine."""
    (tmp_path / "htpasswd").write_text("".join(f"{user}:{crypt.crypt(word, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=32))}\n" for user, word in USERS.items()))
    server = serve(more=f'auth: {{htpasswd: {{realm: test, path: "{tmp_path}/htpasswd"}}}}')
    standin = Standin(place, tmp_path / "standin")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/skopeo"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>"{tmp_path}/argv"\nexec {shutil.which("skopeo")} "$@"\n')
    wrapper.chmod(0o755)
    standin.environment |= {name: server.env[name] for name in ("HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE")} | {
        "SARDE_INSECURE_REGISTRIES": f"{server.address},{place.registry}", "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    here = standin.publish(random.Random(1), "image", [256, 64])
    standin.image = f"{server.address}/vms/image:1"
    standin.run("login", "-u", "host", "-p", USERS["host"], server.address)
    standin.run("push", "-t", standin.image, here, env={"SARDE_OCIDIR": str(standin.folder / "source/oci")})
    standin.run("logout", server.address)
    (tmp_path / "argv").unlink()
    standin.address = server.address
    yield standin
    argv = (tmp_path / "argv").read_text() if (tmp_path / "argv").exists() else ""
    for word in USERS.values():
        assert word not in argv and base64.b64encode(word.encode()).decode() not in argv
    assert not list(standin.jobs.rglob("auth.json"))


ids = iter(range(900, 1000))


def attempt(standin, docker=None, jobs=None, script="echo in", **environment):
    """One job with these credentials: its runner's result."""
    credentials = [{"type": "registry", "url": standin.address, "username": jobs[0], "password": jobs[1]}] if jobs else []
    job = standin.runner(**environment).job(job_id=next(ids), image=standin.image, response={"credentials": credentials}, retry_pause=0.05,
                                            variables={"DOCKER_AUTH_CONFIG": docker} if docker else {})
    with job:
        return job.run(script)


def test_credentials_are_used_in_their_order(private):
    good = {user: (user, word) for user, word in USERS.items()}
    refused = attempt(private)
    assert refused.verdict == "build_failure" and "the registry wants other credentials" in refused.text
    result = attempt(private, docker=auths(private.address, "docker"), jobs=("jobs", "wrong"))
    assert result.verdict == "success" and "The job's credentials were not accepted" not in result.text
    private.run("rm", private.image)
    result = attempt(private, docker=auths(private.address, "docker", "wrong"), jobs=good["jobs"])
    assert result.verdict == "success" and result.text.count("The job's credentials were not accepted: ") == 1
    private.run("rm", private.image)
    private.run("login", "-u", "host", "-p", USERS["host"], private.address)
    result = attempt(private, docker=auths(private.address, "docker", "wrong"), jobs=("jobs", "wrong"))
    assert result.verdict == "success" and result.text.count("The job's credentials were not accepted: ") == 2
    private.run("logout", private.address)
    refused = attempt(private, docker=auths(private.address, "docker", "wrong"), jobs=("jobs", "wrong"))
    assert refused.verdict == "build_failure" and len([stage for stage in refused.stages if stage.name == "prepare"]) == 1
    assert "wrong" not in refused.text


@pytest.mark.parametrize("key", ["https://{}/v2/", "{}/vms", "{}/vms/image"])
def test_keys_as_docker_and_podman_write_them(private, key):
    assert attempt(private, docker=auths(key.format(private.address), "docker")).verdict == "success"
    assert attempt(private, docker=auths(private.address + "/other", "docker"), SARDE_PULL_POLICY="always").verdict == "build_failure"


def test_docker_auth_config_runs_no_program_and_is_not_repeated(private, tmp_path):
    helper = tmp_path / "bin/docker-credential-evil"
    helper.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    helper.chmod(0o755)
    refused = attempt(private, docker=json.dumps({"credHelpers": {private.address: "evil"}, "credsStore": "evil"}))
    assert refused.verdict == "build_failure" and "credential helpers" in refused.text and not (tmp_path / "ran").exists()
    refused = attempt(private, docker='{"auths": {"secret-of-mine')
    assert refused.verdict == "build_failure" and "DOCKER_AUTH_CONFIG: it is not valid JSON" in refused.text and "secret-of-mine" not in refused.text


def test_a_cached_private_image_is_for_jobs_that_could_pull_it(private):
    assert attempt(private, jobs=("jobs", USERS["jobs"])).verdict == "success"
    for policy in ("if-not-present", "never"):
        refused = attempt(private, SARDE_PULL_POLICY=policy)
        assert refused.verdict == "build_failure", refused.text
    assert "was fetched with another job's credentials" in refused.text
    assert attempt(private, docker=auths(private.address, "docker"), SARDE_PULL_POLICY="if-not-present").verdict == "success"
    # What this machine may have every job may have.
    private.run("login", "-u", "host", "-p", USERS["host"], private.address)
    private.run("fetch", private.image)
    private.run("logout", private.address)
    for policy in ("if-not-present", "never"):
        assert attempt(private, SARDE_PULL_POLICY=policy).verdict == "success"
    assert attempt(private, SARDE_PULL_POLICY="always").verdict == "build_failure"


def test_a_private_image_behind_an_index_stays_private(private):
    """Its manifest is not the one that the tag names: what is cached is marked all the same."""
    private.run("login", "-u", "host", "-p", USERS["host"], private.address)
    repository = private.image.split("/", 1)[1].rsplit(":", 1)[0]
    authorization = {"Authorization": "Basic " + base64.b64encode(f"host:{USERS['host']}".encode()).decode()}

    def ask(method, path, body=None, **headers):
        request = urllib.request.Request(f"http://{private.address}/v2/{repository}/manifests/{path}", body, authorization | headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    manifest = "application/vnd.oci.image.manifest.v1+json"
    image = ask("GET", private.image.rsplit(":", 1)[1], Accept=manifest)
    entry = {"mediaType": manifest, "digest": "sha256:" + hashlib.sha256(image).hexdigest(), "size": len(image), "platform": {"os": "linux", "architecture": "amd64"}}
    kind = "application/vnd.oci.image.index.v1+json"
    ask("PUT", "index", json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode(), **{"Content-Type": kind})
    private.run("logout", private.address)
    private.image = private.image.rsplit(":", 1)[0] + ":index"
    shutil.rmtree(private.oci)
    shutil.rmtree(private.vms)
    assert attempt(private, SARDE_PULL_POLICY="always").verdict == "build_failure"
    assert attempt(private, jobs=("host", USERS["host"]), SARDE_PULL_POLICY="always").verdict == "success"
    for policy in ("if-not-present", "never"):
        assert attempt(private, SARDE_PULL_POLICY=policy).verdict == "build_failure", policy
    assert attempt(private, jobs=("host", USERS["host"]), SARDE_PULL_POLICY="if-not-present").verdict == "success"


def test_credentials_that_are_none_are_the_jobs_fault(private):
    for auth in ("user:password", "dXNl cjpw", "====", "a"):
        wrong = attempt(private, docker=json.dumps({"auths": {private.address: {"auth": auth}}}))
        assert wrong.verdict == "build_failure" and "is not base64 of USER:PASSWORD" in wrong.text and f"'{auth}'" not in wrong.text, wrong.text


def test_what_a_job_may_set_is_what_the_administrator_lists(private, tmp_path):
    private.run("login", "-u", "host", "-p", USERS["host"], private.address)

    def job(config, variables):
        path = tmp_path / "jobs.toml"
        path.write_text(config)
        with private.runner(SARDE_CONF_FILES=str(path)).job(job_id=next(ids), image=private.image, variables=variables, retry_pause=0.05, cleanup_may_fail="allow-devices" in config) as one:
            ready = one.prepare()
            xml = "".join(file.read_text() for file in (private.domains / "running").iterdir()) if ready else ""
            return one.result, xml

    listed = 'job-settable = ["memory", "vcpus"]\nmemory = "1GiB"\nmax-memory = "2GiB"\nmax-vcpus = 2\n'
    result, xml = job(listed, {"SARDE_MEMORY": "512MiB", "SARDE_VCPUS": "2", "SARDE_VMDIR": str(tmp_path / "theirs"), "SARDE_CONNECT": "qemu:///system"})
    assert result.verdict == "success" and ">524288</memory>" in xml and "<vcpu>2</vcpu>" in xml, result.text
    assert "WARNING: the job's variable 'SARDE_VMDIR' is ignored: job-settable lists only memory, vcpus" in result.text
    assert not (tmp_path / "theirs").exists()
    result, xml = job("", {"SARDE_MEMORY": "512MiB"})
    assert result.verdict == "success" and ">524288</memory>" not in xml and "ignored: job-settable is empty" in result.text
    for variables, why in (({"SARDE_MEMORY": "3GiB"}, "more than max-memory"), ({"SARDE_VCPUS": "3"}, "more than max-vcpus"),
                           ({"SARDE_MEMORY": "lots"}, "the job's variable SARDE_MEMORY: memory: 'lots' is not a size")):
        result, _ = job(listed, variables)
        assert result.verdict == "build_failure" and why in result.text, result.text
    result, _ = job('job-settable = ["memory", "allow-devices"]\n', {})
    assert result.verdict == "build_failure" and "'allow-devices' is not an option that can be left to jobs" in result.text


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io/me", "registry-1.docker.io"])
def test_docker_hub_by_its_several_names(place, tmp_path, key):
    """The job's credentials reach skopeo for a name without a host, as docker.io's."""
    (tmp_path / "bin").mkdir()
    skopeo = tmp_path / "bin/skopeo"
    skopeo.write_text(f'#!/bin/sh\ncase " $* " in *" experimental-image-proxy "*) echo "unknown command" >&2; exit 1;; esac\nwhile [ $# -gt 1 ]; do [ "$1" = --authfile ] && cp "$2" {tmp_path}/seen; shift; done\necho "$1" >{tmp_path}/asked\nexit 1\n')
    skopeo.chmod(0o755)
    auth = base64.b64encode(b"user:pass").decode()
    runner = place.runner(PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    with runner.job(job_id=next(ids), image="me/tiny:1", variables={"DOCKER_AUTH_CONFIG": json.dumps({"auths": {key: {"auth": auth}}})}, cleanup_may_fail=True) as job:
        job.config()
        assert job.call("prepare").code != 0
    assert json.loads((tmp_path / "seen").read_text())["auths"] == {"docker.io": {"auth": auth}}
    assert (tmp_path / "asked").read_text() == "docker://me/tiny:1\n"


def test_a_jobs_own_credentials_bring_the_rest_of_an_image_that_is_served(private):
    """The process that does it has a copy, which only this account can read, and which goes when the image is whole."""
    here = private.publish(random.Random(2), "served", [60_000])
    private.run("login", "-u", "host", "-p", USERS["host"], private.address)
    private.image = f"{private.address}/vms/served:1"
    private.run("push", "-t", private.image, here, env={"SARDE_OCIDIR": str(private.folder / "source/oci")})
    private.run("logout", private.address)
    seen = []

    def look():
        for copy in private.vms.glob(".lazy-*/.auth.json"):
            seen.append((copy.stat().st_mode & 0o777, USERS["jobs"] not in copy.read_text()))

    credentials = [{"type": "registry", "url": private.address, "username": "jobs", "password": USERS["jobs"]}]
    with private.runner(SARDE_LAZY="always").job(job_id=next(ids), image=private.image, response={"credentials": credentials}, sink=lambda _: look()) as job:
        assert job.run("echo in").verdict == "success", job.result.text
    assert "the VM starts while it comes (lazy)" in job.result.text and set(seen) == {(0o600, True)}, (job.result.text, seen)
    deadline = time.monotonic() + 20
    while list(private.vms.glob(".lazy-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(private.vms.rglob(".auth.json")) and len(list(private.vms.glob("sha256:*"))) == 1
    refused = attempt(private, SARDE_LAZY="always")
    assert refused.verdict == "build_failure" and "the registry wants other credentials" in refused.text

"""Which image a job gets, and when the registry is asked for it."""
import pytest


def test_a_short_name_and_a_list_of_pull_policies(place, small_image):
    """The default image is an alias; a registry that fails is replaced by the cache; its answer may be good for a while."""
    config = f'default-image = "small"\nmanifest-ttl = 300\npull-policy = ["always", "if-not-present"]\nallow-image = ["{place.registry}/vms/**"]\naliases = {{ small = "{small_image}" }}\n'
    with place.runner(config).job(job_id=600, image="") as job:
        assert job.prepare(), job.result.text
        assert f"image '{small_image}', sha256:" in job.result.text
    # From now on the registry cannot be asked: it speaks no TLS.
    with place.runner(config, SARDE_INSECURE_REGISTRIES="").job(job_id=601, image="small") as job:
        assert job.prepare(), job.result.text
        assert "from the cache (the registry was asked" in job.result.text and "WARNING" not in job.result.text
    config = config.replace("manifest-ttl = 300", "")
    with place.runner(config, SARDE_INSECURE_REGISTRIES="").job(job_id=602, image="small") as job:
        assert job.prepare(), job.result.text
        assert "WARNING: pull policy 'always' failed, trying 'if-not-present'" in job.result.text
        assert "from the cache (pull policy 'if-not-present')" in job.result.text
    place.assert_nothing_left()


@pytest.mark.parametrize("config,sentence", [
    ('allow-image = ["registry.example.org/vms/*"]', "is not allowed on this runner: allow-image lists only 'registry.example.org/vms/*'"),
    ('deny-image = ["**/small"]', "is not allowed on this runner: deny-image lists '**/small'"),
    ('allow-image = ["**"]\ndeny-image = ["docker://*/vms/*"]', "deny-image lists 'docker://*/vms/*'"),
    ('allow-image = ["*"]', "allow-image lists only '*'"),
], ids=["not allowed", "denied", "denied although allowed", "a star ends at a slash"])
def test_an_image_that_the_runner_does_not_allow(place, small_image, config, sentence):
    with place.runner(config + "\n").job(job_id=603, image=small_image, cleanup_may_fail=True) as job:
        result = job.call("prepare")
        text = result.stderr.decode()
        assert result.code == 1 and sentence in text, text
        assert "etched" not in text, "it was fetched before it was refused"
    place.assert_nothing_left()

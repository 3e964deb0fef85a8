"""The Debian package: what it holds, and what it does to a minimal Debian 12 on which it is installed, upgraded, removed and purged."""
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import TOP, need


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    need(shutil.which("dpkg-buildpackage") and shutil.which("dh"), "debhelper is not installed")
    if not (TOP / "build/release/cmake_install.cmake").exists():
        pytest.skip("build/release was not configured by CMake here")
    folder = tmp_path_factory.mktemp("package")
    run(TOP / "gitlab-runner/debian/build", folder)
    (made,) = folder.glob("sarde-executor_*.deb")
    return made


@pytest.fixture(scope="module")
def before(package, tmp_path_factory):
    """The version before: an older number, and another conffile."""
    folder = tmp_path_factory.mktemp("before")
    run("dpkg-deb", "-R", package, folder / "tree")
    control = folder / "tree/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.0.9", control.read_text(), flags=re.M))
    settings = folder / "tree/etc/sardinecake/sarde.toml"
    settings.write_text(settings.read_text() + "# as it was\n")
    run("dpkg-deb", "--root-owner-group", "-b", folder / "tree", folder / "before.deb")
    return folder / "before.deb"


@pytest.fixture(scope="module")
def debian12(package, tmp_path_factory):
    """A root with nothing but apt and what the package depends on."""
    need(os.geteuid() == 0 and shutil.which("mmdebstrap"), "a Debian root needs root, and mmdebstrap")
    root = tmp_path_factory.mktemp("debian12") / "root"
    depends = re.sub(r" \([^)]*\)", "", run("dpkg-deb", "-f", package, "Depends"))
    made = subprocess.run(["mmdebstrap", "--mode=root", "--variant=apt", "--aptopt=Acquire::Retries \"5\"", f"--include=mount,{depends.replace(' ', '')}", "bookworm", root], capture_output=True, text=True)
    need(made.returncode == 0, f"mmdebstrap cannot make a Debian 12: {made.stderr[-500:]}")
    run("mount", "-t", "proc", "proc", root / "proc")
    yield root
    run("umount", root / "proc")


def test_one_command_makes_it_and_versions_agree(package):
    version = re.search(r"^## ([0-9.]+), ", (TOP / "CHANGELOG.md").read_text(), re.M)[1]
    architecture = run("dpkg", "--print-architecture").strip()
    assert package.name == f"sarde-executor_{version}_{architecture}.deb"
    assert run("dpkg-deb", "-f", package, "Version").strip() == version
    files = {line.split()[5].lstrip(".") for line in run("dpkg-deb", "-c", package).splitlines()}
    for file in ("/usr/bin/sarde-executor", "/usr/bin/sarde", "/usr/lib/sarde-executor/sarde-libvirt.so", "/usr/share/man/man1/sarde.1.gz", "/usr/share/man/man5/sarde.toml.5.gz",
                 "/usr/share/bash-completion/completions/sarde-executor", "/usr/share/zsh/vendor-completions/_sarde-executor", "/usr/share/fish/vendor_completions.d/sarde.fish",
                 "/etc/sardinecake/sarde.toml", "/lib/systemd/system/sarde-gc.timer", "/lib/systemd/system/sarde-prune.timer", "/usr/lib/tmpfiles.d/sarde-executor.conf",
                 "/usr/share/doc/sarde-executor/gitlab-runner/config.toml", "/usr/share/doc/sarde-executor/docs/errors.md", "/usr/share/doc/sarde-executor/changelog.gz"):
        assert file in files, (file, sorted(files))
    depends = run("dpkg-deb", "-f", package, "Depends")
    assert all(f"{library} " in depends for library in ("libvirt0", "libssh-4", "libdeflate0", "libisal2", "libfmt9", "libc6")), depends
    settings = run("sh", "-c", f"dpkg-deb --fsys-tarfile {package} | tar -xO ./etc/sardinecake/sarde.toml")
    assert "# vmdir = " in settings and [line for line in settings.splitlines() if line and not line.startswith("#")] == []


def test_lintian_finds_nothing(package):
    need(shutil.which("lintian"), "lintian is not installed")
    told = subprocess.run(["lintian", "--allow-root", "--display-info", "--show-overrides", package], capture_output=True, text=True)
    print(told.stdout, told.stderr)
    left = [line for line in told.stdout.splitlines() if not line.startswith(("O: ", "N: ")) and line.strip()]  # overridden, and why
    assert left == [], told.stdout


def test_it_lists_what_it_consists_of(package):
    bill = json.loads(run("sh", "-c", f"dpkg-deb --fsys-tarfile {package} | tar -xO ./usr/share/doc/sarde-executor/sbom.spdx.json"))
    assert bill["spdxVersion"] == "SPDX-2.3"
    libraries = {one["name"]: one for one in bill["packages"]}
    depends = {word.split()[0] for word in run("dpkg-deb", "-f", package, "Depends").split(", ")} - {"qemu-utils", "skopeo"}
    assert all(re.fullmatch(r"pkg:deb/debian/[a-z0-9.+-]+@[A-Za-z0-9.%~-]+\?arch=\w+", one["externalRefs"][0]["referenceLocator"]) for one in bill["packages"][1:])
    assert depends | {"sarde-executor", "libcli11-dev", "nlohmann-json3-dev", "libtomlplusplus-dev"} == set(libraries), (depends, set(libraries))
    told = (TOP / "docs/dependencies.md").read_text()
    for one in libraries.values():
        assert one["versionInfo"] and all(word in told for word in one["licenseDeclared"].split(" WITH ")[0].split()), one
    assert len(bill["relationships"]) == len(libraries)


def test_packages_of_one_build_are_the_same(package, tmp_path):
    run(TOP / "gitlab-runner/debian/build", tmp_path)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def test_the_place_where_it_is_built_makes_no_difference(package, tmp_path):
    """One file, in two folders; `reproduce` does it with all."""
    (command,) = [one["command"] for one in json.loads((TOP / "build/release/compile_commands.json").read_text()) if one["file"].endswith("/core/foundation/text.cpp")]
    made = []
    for name in ("one", "another-place"):
        shutil.copytree(TOP / "core", tmp_path / name / "core")
        words = [word.replace(str(TOP), str(tmp_path / name)) for word in command.split() if not word.endswith("ccache")]
        words[words.index("-o") + 1] = str(tmp_path / name / "text.o")
        run(*words, cwd=tmp_path / name)
        made.append((tmp_path / name / "text.o").read_bytes())
    assert made[0] == made[1] and str(tmp_path).encode() not in made[0]


def test_installed_upgraded_removed_and_purged(package, before, debian12):
    def inside(*command, check=True):
        done = subprocess.run(["chroot", debian12, *command], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}, capture_output=True, text=True)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done

    def files():
        """All but what changes by itself, and data."""
        left_out = {"proc", "sys", "dev", "run", "tmp", "var/log", "var/cache", *(f"var/lib/{name}" for name in ("dpkg", "apt", "systemd", "ldconfig", "man", "sardinecake"))}
        found = set()
        for folder, folders, names in os.walk(debian12):
            here = os.path.relpath(folder, debian12)
            folders[:] = [name for name in folders if os.path.normpath(f"{here}/{name}") not in left_out]
            found |= {os.path.normpath(f"{here}/{name}") for name in [*folders, *names]}
        return found

    bare = files()
    for made in (before, package):
        shutil.copy(made, debian12 / "tmp")
    inside("dpkg", "-i", f"/tmp/{before.name}")
    assert "0.0.9" in inside("dpkg-query", "-W", "sarde-executor").stdout
    settings = debian12 / "etc/sardinecake/sarde.toml"
    assert settings.read_text().endswith("# as it was\n")
    changed = settings.read_text().replace('# max-vms = 8', 'max-vms = 3')
    settings.write_text(changed)
    data = debian12 / "var/lib/sardinecake/oci/keep"
    data.mkdir(parents=True)
    # An upgrade leaves what the administrator has changed, and puts the new one beside it.
    inside("dpkg", "--force-confdef", "--force-confold", "-i", f"/tmp/{package.name}")
    assert settings.read_text() == changed and (debian12 / "etc/sardinecake/sarde.toml.dpkg-dist").read_text() == (TOP / "examples/sarde.toml").read_text()
    assert "max-vms = 3  # /etc/sardinecake/sarde.toml" in inside("sarde-executor", "settings").stdout
    # What a bare host lacks is named, with what to type.
    for command in ("selftest", "doctor"):
        told = inside("sarde-executor", command, check=False)
        assert told.returncode == 2 and "FAILED" in told.stdout and "libvirt" in told.stdout and not told.stderr.startswith("terminate"), told
    assert inside("sarde", "list").returncode == 0
    inside("dpkg", "-r", "sarde-executor")
    assert not (debian12 / "usr/bin/sarde-executor").exists() and settings.read_text() == changed
    inside("dpkg", "-P", "sarde-executor")
    assert files() == bare
    assert data.exists()
    # A link to a larger disk is no reason why it could not be purged.
    inside("dpkg", "-i", f"/tmp/{package.name}")
    (debian12 / "var/lib/sardinecake").rename(debian12 / "var/lib/larger")
    (debian12 / "var/lib/sardinecake").symlink_to("larger")
    inside("dpkg", "-P", "sarde-executor")
    assert (debian12 / "var/lib/larger/oci/keep").exists()

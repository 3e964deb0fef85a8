"""What is generated from the tables of options and commands: as it is committed, without faults, and of use in real shells."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from conftest import TOP, need


@pytest.fixture(scope="module")
def reference(place, tmp_path_factory):
    """Written anew by the tool that the build has made for it."""
    folder = tmp_path_factory.mktemp("reference")
    tool = TOP / "build/release/write-reference"
    need(tool.exists(), "build/release/write-reference is not built")
    subprocess.run([tool, folder], check=True)
    return folder


@pytest.mark.parametrize("written, committed", [("options.md", "docs/options.md"), ("guests.md", "docs/guests.md"), ("sarde.toml", "examples/sarde.toml")])
def test_what_is_committed_is_what_the_tables_say(reference, written, committed):
    fresh = (reference / written).read_text()
    assert (TOP / committed).read_text() == fresh, f"{committed} is not what the tables say: copy build/release/reference/{written} there"


@pytest.mark.parametrize("page", ["sarde-executor.1", "sarde.toml.5"])
def test_man_pages_have_no_faults(reference, page):
    need(shutil.which("mandoc") and shutil.which("groff"), "mandoc and groff are needed")
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", reference / page], capture_output=True, text=True)
    assert lint.stdout + lint.stderr == ""
    groff = subprocess.run(["groff", "-ww", "-man", "-z", reference / page], capture_output=True, text=True)
    assert groff.returncode == 0 and groff.stderr == ""


def test_man_pages_have_every_command_and_option(place, reference):
    need(shutil.which("mandoc"), "mandoc is needed")
    pages = {name: subprocess.run(["mandoc", "-Tascii", reference / name], capture_output=True, text=True, check=True).stdout for name in ("sarde-executor.1", "sarde.toml.5")}
    text = {name: re.sub(".\b", "", page) for name, page in pages.items()}
    help_text = place.run("--help").stdout
    for command in re.findall(r"^  ([a-z]+) ", help_text[help_text.index("Stages of a job"):], re.M):
        assert re.search(rf"^   {command}$", text["sarde-executor.1"], re.M), command
        for option in re.findall(r"--[a-z][-a-z]+", place.run(command, "--help").stdout):
            assert option in text["sarde-executor.1"] or option in ("--help-all",), option
    for key in re.findall(r"^# ([a-z-]+) = ", (TOP / "examples/sarde.toml").read_text(), re.M):
        assert re.search(rf"^ +{key} = ", text["sarde.toml.5"], re.M), key


CASES = [("sel", "selftest"), ("prepare --virt", "--virt-type"), ("prepare --virt-type k", "kvm"), ("prune --older", "--older-than")]


@pytest.mark.parametrize("typed, wanted", CASES)
def test_completion_in_bash(reference, typed, wanted):
    words = ["sarde", *typed.split()]
    script = f'source {reference}/sarde.bash; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _sarde; echo "${{COMPREPLY[@]}}"'
    assert subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True).stdout.split() == [wanted]


@pytest.mark.parametrize("typed, wanted", CASES)
def test_completion_in_fish(reference, typed, wanted):
    need(shutil.which("fish"), "fish is needed")
    done = subprocess.run(["fish", "--no-config", "-c", f"source {reference}/sarde.fish; complete -C 'sarde {typed}'"], capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [wanted]


@pytest.mark.parametrize("typed, wanted", CASES)
def test_completion_in_zsh(reference, tmp_path, typed, wanted):
    """Typed at a terminal, for zsh completes nowhere else: the line is complete after a tab."""
    need(shutil.which("zsh"), "zsh is needed")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(ZDOTDIR=str(tmp_path), PS1="> ", TERM="dumb")
        os.execlp("zsh", "zsh", "-f", "-i")
    try:
        seen = ""

        def send(text, awaited):
            nonlocal seen
            os.write(terminal, text.encode())
            seen, deadline = "", time.monotonic() + 20
            while awaited not in seen:
                assert time.monotonic() < deadline, seen
                if select.select([terminal], [], [], 0.2)[0]:
                    seen += os.read(terminal, 4096).decode(errors="replace")

        send(f"fpath=({reference} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n", "ready")
        send(f"echo sarde {typed}\x01\x0b", "")  # nothing is run: the line is cleared again
        send(f"sarde {typed}\t", wanted)
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)

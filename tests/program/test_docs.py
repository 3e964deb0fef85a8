"""What the documentation says is so: its messages are ones that the program can still say, its links lead somewhere, and its commands are
commands."""
import json
import re
import shlex
import subprocess

import pytest

from conftest import TOP

PAGES = [page for folder in (".", "docs", "gitlab-runner") for page in (TOP / folder).glob("*.md")]

# Messages that the program puts together, and those of others that it passes on.
COMPOSED = {"tried 6 times": ("tried ", " times"), "wait for the address": ("wait for the ", "address"), "wait for the SSH server": ("wait for the ", "SSH server")}
OTHERS = {"XML error", "unsupported configuration", "No space left on device"}


def source_texts():
    """All texts in the source, those that are written in several pieces whole."""
    texts = []
    for folder in ("config", "core", "executor"):
        for file in (TOP / folder).rglob("*.?pp"):
            texts += re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r'"\s*\n\s*"', "", file.read_text()))
    return "\n".join(texts).replace('\\"', '"')


def slug(heading):
    """As GitLab and GitHub make anchors of headings."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rows(page, columns):
    """Of the page's tables with so many columns, without their heads."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in (TOP / "docs" / page).read_text().splitlines() if line.startswith("| ")]
    return [row for row in found if len(row) == columns and not row[0].startswith(("---", "what"))]


def messages():
    table = [message for row in rows("errors.md", 4) for message in re.findall(r"`([^`]+)`", row[3].split(" ([what")[0])]
    pushing = [row[0].strip("`") for row in rows("errors.md", 2) if row[0].startswith("`") and "says" not in row[0]]
    headings = re.findall(r"^### (.+)$", (TOP / "docs/troubleshooting.md").read_text(), re.M)
    return sorted({*table, *pushing, *headings} - OTHERS)


def test_the_program_can_say_each_message():
    assert len(messages()) > 60
    texts = source_texts()
    gone = [message for message in messages() if not all(part in texts for part in COMPOSED.get(message, (message,)))]
    assert gone == []


def test_each_message_leads_to_what_to_do():
    for row in rows("errors.md", 4):
        assert re.search(r"\(\[what to do\]\(troubleshooting\.md#[\w-]+\)\)$", row[3]), row[0]
    advice = (TOP / "docs/troubleshooting.md").read_text()
    for message in messages():
        assert f"### {message}\n" in advice or f"`{message}`" in advice or message in ("digest", "damaged"), message


def test_every_link_to_a_place_on_a_page_leads_there():
    dead = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", page.read_text()):
            other = (page.parent / target) if target else page
            if anchor not in {slug(heading) for heading in re.findall(r"^#+ (.+)$", other.read_text(), re.M)}:
                dead.append(f"{page.name}: {target}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("kind", ["fleet", "images", "start"])
def test_plots_are_what_the_script_draws(kind):
    plots = TOP / "docs/plots"
    drawn = subprocess.run([TOP / "tests/bench/plot", kind, plots / f"{kind}.json"], capture_output=True, text=True, check=True).stdout
    assert drawn == (plots / f"{kind}.svg").read_text()


def test_the_fleets_figures_are_the_models():
    rows_of_model = json.loads(subprocess.run([TOP / "tests/bench/fleet", "--json"], capture_output=True, text=True, check=True).stdout)["rows"]
    assert rows_of_model == json.loads((TOP / "docs/plots/fleet.json").read_text())["rows"]
    table = rows("fleet.md", 6)
    assert len(table) > 5
    for hosts, mirrors, image, until, fetch, left in table[1:]:
        (row,) = [one for one in rows_of_model if (str(one["hosts"]), one["mirrors"], one["reuse"]) == (hosts, mirrors == "yes", image == "an update")]
        for told, value, unit in ((until, row["seconds_until_95_percent"], 1), (fetch, row["seconds_of_a_fetch_95_percent"], 1), (left, row["registry_bytes"], 1e9)):
            assert abs(float(told.split()[0]) - value / unit) <= 0.05 * value / unit, (hosts, told, value)


def documented_commands():
    """Calls of the program in blocks of shell, and in running text if they have no words that stand for others. A block's line may be
    `name=$(sarde pull …)`, and be continued by a backslash."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```$", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for call in re.findall(r"(?:^|\$\(|&& |; |sudo (?:-u [\w-]+ )?)((?:sarde|sarde-executor)(?: +(?:\"[^\"]*\"|'[^']*'|[^$();&|#<>\"'\s]+))+)", line.strip()):
                    found.append((page.name, call.strip()))
        for call in re.findall(r"(?<![`\w/-])`((?:sarde|sarde-executor) [^`\n]+)`", text):
            if not re.search(r"…|\$|\[|>|\b[A-Z]{3,}\b|^sarde(-executor)? \w+$", call):
                found.append((page.name, call))
    return sorted(set(found))


@pytest.mark.parametrize("page, call", documented_commands())
def test_a_command_in_the_documentation_is_one(place, page, call, tmp_path):
    """Its words are all understood; nothing is done."""
    words = shlex.split(call)
    if words[1] in ("help", "config", "run", "prepare", "cleanup") or words[1].startswith("--"):
        return
    done = subprocess.run([place.program, words[1], "--no-run", *words[2:]], env=place.environment | place.store(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, (page, call, done.stderr)


# Who types a block with commands that are not the program's, by a part of its text.
TYPED = {
    "examples/quickstart": "test_readme", "cmake --install": "test_readme", "my-script.sh": "test_readme", "tests/run": "CI",
    "gitlab-runner/debian/build ": "test_package", "debian/build /tmp": "test_getting_started", "apparmor_parser": "test_getting_started", "doctor": "test_getting_started",
    "PACKAGES=": "test_getting_started", "docker export": "test_getting_started", "gitlab-runner.service.d": "test_getting_started",
}
# Neither a GitLab nor Fedora's and Ubuntu's archives are there where the tests run; docs/images.md says so.
NOT_TYPED = ("gitlab-runner register", "SUITE=noble", "dnf --installroot")


def test_each_block_of_commands_is_typed_by_a_test():
    """Those that call nothing but this program are read by it, see below."""
    left, seen = [], []
    for page in PAGES:
        for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
            first = [line.removeprefix("sudo ").split()[0] for line in block.replace("\\\n", " ").splitlines() if line.strip()]
            own = all(word in ("sarde", "sarde-executor") for word in first)
            is_typed = kind in ("sh", "console") or (not kind and any(line.startswith(("sudo ", "gitlab-runner ")) for line in block.splitlines()))
            seen += [part for part in (*TYPED, *NOT_TYPED) if is_typed and part in block]
            if is_typed and not own and not any(part in block for part in (*TYPED, *NOT_TYPED)):
                left.append((page.name, block))
    assert left == [] and {*TYPED, *NOT_TYPED} - {*seen} == set()
    for tester in {*TYPED.values()} - {"CI"}:
        assert (TOP / f"tests/program/{tester}.py").exists()


def test_the_log_in_the_readme_is_one_that_the_program_writes():
    log = re.search(r"In the job's log:\n\n```\n(.*?)```", (TOP / "README.md").read_text(), re.S)[1]
    texts = source_texts()
    parts = [part.strip() for line in log.splitlines() if not line.startswith("$") for part in re.split(r"x86_64|'[^']*'|sha256:\S+|: |sarde-\d\S*|registry\.\S+|\([^)]*\d[^)]*\)|\d+(?:\.\d+)? (?:MB|s)\b|\d+", line)]
    assert len(parts) > 10
    assert [part for part in parts if re.search(r"\w{3}", part) and part.strip(" ,") not in texts] == []

#include "config/option_table.hpp"
#include "config/option_words.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/version.hpp"
#include "executor/reference/reference.hpp"
#include "executor/wiring/command_table.hpp"

namespace sarde {

namespace {

/// Escapes text for troff: hyphens become minus signs, so that options can be copied, and no line can be
/// mistaken for a request.
std::string roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '\'') {
      escaped += "\\(aq";
    } else {
      escaped += c;
    }
  }
  return escaped.starts_with('.') ? "\\&" + escaped : escaped;
}

std::string bold(std::string_view text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string italic(std::string_view text) {
  return "\\fI" + roff(text) + "\\fR";
}

std::string head(const std::string& name, const std::string& section, const std::string& about) {
  return ".TH " + name + " " + section + " \"" SARDE_DATE "\" \"" + program_name + " " + program_version +
         "\" \"sarde\\-executor\"\n.SH NAME\n" + about + "\n";
}

std::string option_entry(const OptionRow& row) {
  std::string names = row.letter == 0 ? "" : bold(std::string("-") + row.letter) + ", ";
  names += bold("--" + std::string(row.name));
  if (!row.alias.empty()) names += ", " + bold("--" + std::string(row.alias));
  const auto word = value_word(row);
  if (!word.empty()) names += " " + italic(word);
  auto entry = ".TP\n" + names + "\n" + roff(row.help) + ".\n";
  if (!row.choices.empty()) entry += "One of " + roff(join(words_of(row.choices), ", ")) + ".\n";
  const auto initial = shown_initial(row);
  if (!initial.empty() && row.kind != ValueKind::flag) entry += "Default: " + roff(initial) + ".\n";
  return entry;
}

std::string synopsis(const CommandRow& row) {
  auto line = bold(row.name) + " [" + italic("OPTION") + "...]";
  for (const auto& one : row.positionals)
    line += one.required ? " " + italic(one.name) : " [" + italic(one.name) + "]";
  return line;
}

std::string command_entry(const CommandRow& row) {
  auto entry = ".SS " + std::string(row.name) + "\n" + synopsis(row) + "\n.PP\n";
  std::string help(row.help);
  help.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(help.front())));
  entry += roff(help) + ".\n";
  if (!row.more.empty()) entry += roff(row.more) + "\n";
  for (const auto& one : row.positionals) entry += ".TP\n" + italic(one.name) + "\n" + roff(one.help) + ".\n";
  std::vector<std::string> options;
  for (const auto& option : option_table)
    if (option.commands != "*" && is_option_of(option, row.name))
      options.push_back(bold("--" + std::string(option.name)));
  if (!options.empty()) entry += ".PP\nOptions: " + join(options, ", ") + ".\n";
  return entry;
}

/// What the words mean that stand for values.
constexpr auto value_kinds =
    "TIME is a number of seconds, or a number with a unit: 90, 45m, 12h, 30d, 2w. SIZE is a number of bytes, "
    "or a number with a unit: k, M, G, T and KiB, MiB, GiB, TiB count by 1024; kB, MB, GB, TB by 1000. LIST "
    "is "
    "given by repeating the option; in a file it is an array of texts, and in a variable its items are "
    "separated by commas.";

std::string options_section() {
  std::string section =
      ".SH OPTIONS\n" +
      roff(
          "Every option is also a setting (sarde.toml(5)), and most are also an environment variable, whose "
          "name is SARDE_ and the option's name in capitals with underscores. Options that describe a single "
          "call have no variable; in a file, they can be set only in a command's section. A flag alone means "
          "true; to turn one off, write --FLAG=false, with the =. " +
          std::string(value_kinds)) +
      "\n";
  section += ".TP\n" + bold("-h") + ", " + bold("--help") + "\nPrints help.\n.TP\n" + bold("-V") + ", " +
             bold("--version") + "\nPrints the version.\n.TP\n" + bold("-v") + ", " + bold("--verbose") +
             "\nShows details.\n.TP\n" + bold("-q") + ", " + bold("--quiet") +
             "\nShows results and warnings only.\n";
  for (const auto& row : option_table)
    if (!row.commands.empty()) section += option_entry(row);
  return section;
}

std::string exit_status_section() {
  std::string section =
      ".SH EXIT STATUS\n.TP\n0\nSuccess.\n.TP\n1\n" +
      roff(
          "The caller or the job is at fault, for example because of a wrong name, refused credentials, "
          "or an image that cannot be used.") +
      "\n.TP\n2\n" + roff("The host or the network is at fault. Trying again may help.") + "\n.PP\n" +
      roff(
          "A command that a signal stops exits with 128 plus its number (130: Ctrl-C). ssh and try exit with "
          "the command's own code; selftest and doctor with 2 if a check fails. A stage of a job exits with "
          "the "
          "values that gitlab-runner specifies, and run reports the "
          "script's own exit code.") +
      "\n";
  return section;
}

}  // namespace

std::string program_man_page() {
  auto page =
      head("SARDE\\-EXECUTOR", "1",
           "sarde\\-executor, sarde \\- libvirt VMs for GitLab CI jobs, and their images in OCI registries");
  page += ".SH SYNOPSIS\n.B sarde\\-executor\n" + italic("COMMAND") + " [" + italic("OPTION") + "...] [" +
          italic("ARGUMENT") + "...]\n";
  page +=
      ".SH DESCRIPTION\n" +
      roff(
          "sarde-executor is the driver that GitLab Runner's custom executor calls to run jobs in ephemeral "
          "libvirt VMs. It fetches the VM image that a job asks for from an OCI registry, starts a VM on "
          "thin copies of its disks, runs the job's scripts in it over SSH, and destroys it afterwards. The "
          "same program, also installed as sarde, creates images from VMs and manages them.") +
      "\n.PP\n" +
      roff(
          "Results that a script would read (a name, a UUID, JSON) are printed to standard output, and "
          "everything else to standard error.") +
      "\n";
  page += ".SH COMMANDS\n";
  for (const auto& row : command_table()) page += command_entry(row);
  page += options_section() + exit_status_section();
  page += ".SH FILES\n.TP\n" + italic("/etc/sardinecake/sarde.toml") + "\nSettings, overridden by " +
          italic("~/.config/sardinecake/sarde.toml") + ".\n.TP\n" + italic("/var/lib/sardinecake") +
          "\nImages, unpacked disks and jobs' files of a system\\-wide installation.\n";
  return page + ".SH SEE ALSO\n.BR sarde.toml (5),\n.BR skopeo (1),\n.BR virsh (1),\n.BR passt (1)\n";
}

std::string settings_man_page() {
  auto page = head("SARDE.TOML", "5", "sarde.toml \\- settings of sarde\\-executor");
  page +=
      ".SH DESCRIPTION\n" +
      roff(
          "sarde.toml is a TOML file. Keys at its top apply to all commands and images, those in "
          "[commands.NAME] to one command, and those in [images.\"PATTERN\"] to jobs on the images that the "
          "pattern matches. If a key is set in several places, the first of these takes precedence: a job's "
          "variable that job-settable lists, the section for the image, for the login the image's own vm "
          "config, the command line, the environment, "
          "the command's section, the top of the file, the default.") +
      "\n.PP\n" +
      roff(
          "/etc/sardinecake/sarde.toml is read first, then ~/.config/sardinecake/sarde.toml, which overrides "
          "it. If SARDE_CONF_FILES is set, the files that it lists, separated by colons, are read instead.") +
      "\n";
  for (const auto& group : option_groups()) {
    std::string heading(group);
    for (auto& c : heading) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    page += ".SH " + roff(heading) + "\n";
    if (group == option_group::calls) page += roff("These belong only in a command's section.") + "\n";
    for (const auto& row : option_table) {
      if (row.group != group) continue;
      const auto word = value_word(row);
      page += ".TP\n" + bold(row.name) + " = " + italic(word.empty() ? "true|false" : word) + "\n" +
              roff(row.help) + ".\n";
      if (!row.choices.empty()) page += "One of " + roff(join(words_of(row.choices), ", ")) + ".\n";
      if (const auto initial = shown_initial(row); !initial.empty())
        page += "Default: " + roff(initial) + ".\n";
      if (row.job_may_set) page += "Jobs may set it if job\\-settable lists it.\n";
    }
  }
  return page + ".SH SEE ALSO\n.BR sarde\\-executor (1)\n";
}

}  // namespace sarde

// write-reference FOLDER: writes the man pages, completions, docs/options.md, docs/guests.md and
// examples/sarde.toml to FOLDER. It is used by the build and not installed.
#include <iostream>

#include "core/system/files.hpp"
#include "executor/reference/reference.hpp"

int main(int argc, char** argv) {
  using namespace sarde;
  if (argc != 2) {
    std::cerr << "usage: write-reference FOLDER\n";
    return 1;
  }
  try {
    const std::filesystem::path folder = argv[1];
    constexpr mode_t for_all = 0644;
    make_folders(folder, 0755, 0755);
    write_file(folder / "options.md", options_page(), for_all);
    write_file(folder / "guests.md", guests_page(), for_all);
    write_file(folder / "sarde.toml", example_settings(), for_all);
    write_file(folder / "sarde-executor.1", program_man_page(), for_all);
    write_file(folder / "sarde.toml.5", settings_man_page(), for_all);
    write_file(folder / "sarde.bash", bash_completion(), for_all);
    write_file(folder / "_sarde-executor", zsh_completion(), for_all);
    for (const auto* program : {"sarde-executor", "sarde"})
      write_file(folder / (std::string(program) + ".fish"), fish_completion(program), for_all);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "write-reference: " << error.what() << '\n';
    return 2;
  }
}

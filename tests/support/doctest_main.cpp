#define DOCTEST_CONFIG_IMPLEMENT
#include <signal.h>

#include <doctest/doctest.h>

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // as the program's own main does
  return doctest::Context(argc, argv).run();
}

# The example job: the lines that a .gitlab-ci.yml has under 'script:'.
echo "Hello from $(uname -srm), user $(id -un), in $(pwd)"
git --version
echo "This VM has $(grep -c ^processor /proc/cpuinfo) processor and $(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo) MiB of memory"
sudo id
echo "a line on stderr" >&2

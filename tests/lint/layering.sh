#!/bin/bash
# Which folder may include which (docs/architecture.md), and which vendor's headers stay where. Prints each breach.
cd "$(dirname "$0")/../.." || exit 2
breaches=0
breach() {
  echo "$1"
  breaches=$((breaches + 1))
}

# FOLDER: what its files may include from this project
while IFS=: read -r folder allowed; do
  [ -d "$folder" ] || { breach "layering.sh: there is no folder $folder"; continue; }
  while IFS=: read -r file line; do
    included=${line#*\"}
    included=${included%\"*}
    ok=
    for prefix in $folder $allowed; do
      case $included in "$prefix"/*) ok=1 ;; esac
    done
    [ -n "$ok" ] || breach "$file includes $included"
  done < <(grep -rH '^#include "' "$folder" --include='*.[ch]pp')
done <<'RULES'
core/foundation:
core/system:core/foundation
core/job:core/system core/foundation
core/image/reference:core/system core/foundation
core/image/layout:core/image/reference core/system core/foundation
core/image/registry:core/image/layout core/image/reference core/system core/foundation
core/image/disk:core/image/layout core/image/reference core/system core/foundation
core/image/store:core/image core/system core/foundation
core/image/serving:core/image/store core/image/disk core/system core/foundation
core/vm:core/system core/foundation
core/guest:core/system core/foundation
config:core/system core/foundation
executor/job:core
executor/stages:core executor/job
executor/commands:core config executor/job
executor/reference:core config executor/wiring
executor/wiring:core config executor/job executor/stages executor/commands
executor:core config
RULES

# HEADER PATTERN: the only files that may include it
while IFS=: read -r header allowed; do
  while read -r file; do
    [[ $file =~ ^($allowed)$ ]] || breach "$file includes <$header"
  done < <(grep -rlE "^ *#include <$header" core config executor)
done <<'RULES'
libvirt/:core/vm/libvirt/.*\.[ch]pp
libssh/:core/guest/(ssh_.*|script_channel\.[ch]pp)
toml\+\+/:config/toml_text\.hpp
CLI/:executor/cli\.cpp
nlohmann/json\.hpp:.*\.cpp|core/foundation/json_reading\.hpp
pugixml:core/vm/domain/.*\.[ch]pp
RULES

# No circle between folders: tsort(1) names one that it finds.
circle=$(grep -rH '^#include "' core config executor --include='*.[ch]pp' \
  | sed -E 's|^(.*)/[^/]+:#include "(.*)/[^/]+"$|\1 \2|' | awk '$1 != $2' | sort -u | tsort 2>&1 >/dev/null)
[ -z "$circle" ] || breach "folders include each other: $circle"

while read -r hit; do breach "$hit: getenv outside of main"; done < <(grep -rnE '\b(secure_)?getenv *\(' core config executor)
[ $breaches = 0 ] || { echo "$breaches breach(es) of the layering" >&2; exit 1; }

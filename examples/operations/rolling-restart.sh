#!/bin/sh
# Restarts all nodes of a cluster, one after the other, the leader last, as for a new version of troupe. Clients go on meanwhile.
#
#   TROUPE_ENDPOINTS=HOST:PORT,... rolling-restart.sh RESTART
#
# RESTART is a program of yours. It is called with the id of a node, ends that node with SIGTERM, waits until its process has ended,
# and starts it again. Where ids are host names, and systemd runs the nodes, it is
#   ssh "$1" systemctl restart troupe
#
# A node is restarted only when all members are well. When something goes wrong the script stops with exit code 1: mend it, and run
# the script again. TROUPE names the program troupe, if it is not in the PATH; DEADLINE is how many seconds to wait for anything (120).
set -eu
if [ $# != 1 ]; then
  sed -n 's/^#   \(TROUPE_\)/\1/p' "$0" >&2
  exit 2
fi
. "$(dirname "$0")/wait.sh"
hook=$1

restart() {
  await "all members are well before $1 is restarted" all_well
  say "restarting $1"
  "$hook" "$1" || fail "$hook could not restart $1"
}

await "all members are well" all_well
last=$(leader) all=$(members)
if [ -z "$last" ] || [ -z "$all" ]; then fail "the cluster does not say who leads, or who is in it"; fi
for id in $all; do
  if [ "$id" != "$last" ]; then restart "$id"; fi
done
restart "$last"
await "all members are well after that" all_well
say "done"

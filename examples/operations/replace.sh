#!/bin/sh
# Puts new nodes in the place of others, one after the other: each new one joins and gets a vote before the old one is removed. Clients
# go on meanwhile.
#
#   TROUPE_ENDPOINTS=HOST:PORT,... replace.sh START OLD=NEW...
#
# as in: replace.sh ./start n1=n4 n2=n5 n3=n6. TROUPE_ENDPOINTS has client addresses of old nodes and of new ones, since the old ones
# go. START is a program of yours. It is called with the id of a new node, and starts it, with an empty directory and --join:
#   ssh "$1" systemctl start troupe
# The process of an old node ends by itself, with exit code 1, and refuses to start again.
#
# When something goes wrong the script stops with exit code 1: mend it, and run it again with the same arguments. What is done already
# is not done again. TROUPE names the program troupe, if it is not in the PATH; DEADLINE is how many seconds to wait for anything (120).
set -eu
usage() {
  sed -n 's/^#   \(TROUPE_\)/\1/p' "$0" >&2
  exit 2
}
[ $# -ge 2 ] || usage
. "$(dirname "$0")/wait.sh"
hook=$1
shift
for pair; do
  case $pair in
    ?*=?*) [ "${pair%%=*}" != "${pair#*=}" ] || fail "$pair: the new node needs an id of its own" ;;
    *) usage ;;
  esac
done

# A command whose outcome is unknown (exit code 3), or that found nobody in charge, may be repeated.
removed() { "$TROUPE" member remove "$1"; }
gone() { ! is_member "$1" && all_well; }

for pair; do
  old=${pair%%=*} new=${pair#*=}
  await "all members are well before $new comes for $old" all_well
  if ! is_member "$new"; then
    say "starting $new"
    "$hook" "$new" || fail "$hook could not start $new"
  fi
  await "$new has a vote" votes "$new"
  say "removing $old"
  await "$old is removed" removed "$old"
  await "the others go on without $old" gone "$old"
done
say "done"

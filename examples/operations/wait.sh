# Functions for the scripts beside this file, which read it. They need no program but troupe and a POSIX shell with awk.

TROUPE=${TROUPE:-troupe}
DEADLINE=${DEADLINE:-120}

say() { echo "$(basename "$0"): $*"; }
fail() { say "$*" >&2; exit 1; }

# await WHAT COMMAND...: run the command until it succeeds. After DEADLINE seconds say what was waited for, and who is in the group.
await() {
  what=$1
  shift
  until=$(($(date +%s) + DEADLINE))
  while ! "$@"; do
    if [ "$(date +%s)" -ge "$until" ]; then
      "$TROUPE" member list >&2 || true
      fail "not within $DEADLINE s: $what"
    fi
    sleep 0.2
  done
}

# leader prints who leads.
leader() { "$TROUPE" status 2>/dev/null | awk 'NR == 1 && $2 == "leads." { print $1 }'; }

# members prints the ids of all members.
members() { "$TROUPE" member list 2>/dev/null | awk '$1 == "NODE" { list = 1; next } list { print $1 }'; }

# all_well: all members answer, have what their leader has committed, and nobody is coming or going.
all_well() {
  [ -n "$(leader)" ] && "$TROUPE" member list 2>/dev/null |
    awk '$1 == "NODE" { list = 1; next } !list && NF { ill = 1 } list && $5 != "ok" { ill = 1 } END { exit ill || !list }'
}

# is_member ID, votes ID: what member list says.
is_member() { members | grep -qxF -e "$1"; }
votes() { "$TROUPE" member list 2>/dev/null | awk -v id="$1" '$1 == id && $2 == "yes" && $5 == "ok" { found = 1 } END { exit !found }'; }

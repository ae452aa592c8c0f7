package simulation

import "slices"

// logged is what the entries of a log are. The log may begin above index 1.
type logged struct {
	before uint64 // the index before the first, and its term
	term   uint64
	ids    []entryID
	amends []amended
}

// amended is an entry that sets the group's feature level, or its members.
type amended struct {
	index   uint64
	level   uint32
	members string
}

// level is what the log says of the group's feature level.
func (l *logged) level() uint32 {
	for _, e := range slices.Backward(l.amends) {
		if e.level > 0 {
			return e.level
		}
	}
	return 0
}

// members is the configuration in force; empty: the founding one.
func (l *logged) members() string {
	for _, e := range slices.Backward(l.amends) {
		if e.members != "" {
			return e.members
		}
	}
	return ""
}

func (l *logged) last() uint64 { return l.before + uint64(len(l.ids)) }

// at is the entry at an index that the log has.
func (l *logged) at(index uint64) entryID { return l.ids[index-l.before-1] }

// has says whether the entry at index is that one.
func (l *logged) has(index uint64, id entryID) bool {
	return index > l.before && index <= l.last() && l.at(index) == id
}

// covers says whether the entry at index is that one, or was cut: then it was committed.
func (l *logged) covers(index uint64, id entryID) bool { return index <= l.before || l.has(index, id) }

// lastTerm is 0 when there never was an entry.
func (l *logged) lastTerm() uint64 {
	if len(l.ids) == 0 {
		return l.term
	}
	return l.ids[len(l.ids)-1].term
}

func (l *logged) append(id entryID) {
	l.ids = append(l.ids, id)
	if id.level > 0 || id.members != "" {
		l.amends = append(l.amends, amended{l.last(), id.level, id.members})
	}
}

// truncate removes the entry at from and all that follow.
func (l *logged) truncate(from uint64) {
	l.ids = l.ids[:from-l.before-1]
	l.amends = slices.DeleteFunc(l.amends, func(e amended) bool { return e.index >= from })
}

// cut removes the entries up to an index, which may be beyond the last.
func (l *logged) cut(to, term uint64) {
	if to <= l.before {
		return
	}
	l.ids = slices.Clone(l.ids[min(to-l.before, uint64(len(l.ids))):])
	l.before, l.term = to, term
}

// replaced is the log behind a snapshot.
func replaced(index, term uint64, level uint32, members string) logged {
	return logged{before: index, term: term, amends: []amended{{index, level, members}}}
}

func (l *logged) clone() logged {
	return logged{l.before, l.term, slices.Clone(l.ids), slices.Clone(l.amends)}
}

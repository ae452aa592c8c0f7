package actors

// serials are those of a session's commands that were applied, a bit for each, from first on. Their number is bounded by the window.
type serials struct {
	first uint64 // a multiple of 64
	words []uint64
}

func (s *serials) has(serial uint64) bool {
	word := (serial - s.first) / 64
	return serial >= s.first && word < uint64(len(s.words)) && s.words[word]&(1<<(serial%64)) != 0
}

// add takes a serial up, which is not below first.
func (s *serials) add(serial uint64) {
	word := (serial - s.first) / 64
	for uint64(len(s.words)) <= word {
		s.words = append(s.words, 0)
	}
	s.words[word] |= 1 << (serial % 64)
}

// dropBelow forgets what is below a serial, to the word.
func (s *serials) dropBelow(serial uint64) {
	first := serial - serial%64
	if first <= s.first {
		return
	}
	if n := (first - s.first) / 64; n < uint64(len(s.words)) {
		s.words = append(s.words[:0], s.words[n:]...)
	} else {
		s.words = s.words[:0]
	}
	s.first = first
}

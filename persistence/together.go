package persistence

// WriteTogether writes a batch for each of several groups, and makes all of them durable, or none: also when it is killed, or the power
// fails. Only what follows the logs can be written so. Otherwise it is as Write.
func (s *Store) WriteTogether(batches []*Batch) error {
	if len(batches) == 0 {
		return nil
	}
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	return s.orBreak(s.writeTogether(batches))
}

func (s *Store) writeTogether(batches []*Batch) error {
	for _, b := range batches {
		g, err := s.state(b.Group)
		if err != nil {
			return err
		}
		// A truncation may need what is pending to be written first.
		if len(b.Entries) > 0 && b.First <= g.last {
			return misuse(b, "it takes the place of entries, up to %d", g.last)
		}
		if err := s.stage(b); err != nil {
			return err
		}
	}
	return s.apply(true)
}

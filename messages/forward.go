package messages

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *Forward) Seal()        { m.Checksum = checksum(m) }
func (m *Forward) Intact() bool { return m.Checksum == checksum(m) }
func (m *Forward) covered(f fields) fields {
	f = f.header(m.Header).number(2, m.Number)
	for _, p := range m.Proposals {
		f = f.nested(3, p.covered)
	}
	return append(f, m.unknownFields...)
}

func (p *Proposal) covered(f fields) fields {
	f = f.number(1, uint64(p.Kind)).bytes(2, p.Data).number(3, p.Session).fixed(4, p.Nonce)
	return append(f.number(5, p.Serial).number(6, p.Lowest), p.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *ForwardReply) Seal()        { m.Checksum = checksum(m) }
func (m *ForwardReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *ForwardReply) covered(f fields) fields {
	f = f.header(m.Header).number(2, m.Number)
	for _, o := range m.Outcomes {
		f = f.nested(3, o.covered)
	}
	return append(f, m.unknownFields...)
}

func (o *Outcome) covered(f fields) fields {
	f = f.number(1, uint64(o.Kind)).number(2, o.Index).bytes(3, o.Value)
	return append(f.bytes(4, o.Error), o.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *ReadIndex) Seal()        { m.Checksum = checksum(m) }
func (m *ReadIndex) Intact() bool { return m.Checksum == checksum(m) }
func (m *ReadIndex) covered(f fields) fields {
	return append(f.header(m.Header).number(2, m.Number).flag(3, m.Lease), m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *ReadIndexReply) Seal()        { m.Checksum = checksum(m) }
func (m *ReadIndexReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *ReadIndexReply) covered(f fields) fields {
	return append(f.header(m.Header).number(2, m.Number).number(3, m.Index), m.unknownFields...)
}

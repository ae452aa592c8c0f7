package clientport

import "sync/atomic"

// doors finds the door of a call's group. Most calls of a stream are for the same one. Only the reader of the stream finds; what is
// current may be asked from anywhere.
type doors struct {
	node Node
	name string // of the group that was found last
	door atomic.Pointer[Door]
}

func (d *doors) find(name []byte) (Door, error) {
	if last := d.door.Load(); last != nil && d.name == string(name) {
		return *last, nil
	}
	found, err := groupName(d.node, string(name))
	if err != nil {
		return nil, err
	}
	door := d.node.Group(found).Door()
	d.name = string(name)
	d.door.Store(&door)
	return door, nil
}

// current is that of the last call's group; nil: there is none yet.
func (d *doors) current() Door {
	if door := d.door.Load(); door != nil {
		return *door
	}
	return nil
}

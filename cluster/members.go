package cluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// ParseMembers reads a list of members, "n1=host:port,n2=host:port,n3=host:port". Spaces around members are ignored.
func ParseMembers(list string) ([]actors.Member, error) {
	if strings.TrimSpace(list) == "" {
		return nil, errors.New("the list of members is empty: give every node as id=host:port, separated by commas")
	}
	var members []actors.Member
	for _, part := range strings.Split(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, fmt.Errorf("the list of members %q has nothing between two commas: "+
				"give every node as id=host:port, separated by commas", list)
		}
		id, address, found := strings.Cut(part, "=")
		if !found {
			return nil, fmt.Errorf("the member %q has no =: write it as id=host:port", part)
		}
		members = append(members, actors.Member{ID: strings.TrimSpace(id), Address: strings.TrimSpace(address)})
	}
	if err := checkMembers(members); err != nil {
		return nil, err
	}
	return members, nil
}

func checkMembers(members []actors.Member) error {
	ids, addresses := map[string]bool{}, map[string]string{}
	for _, m := range members {
		if err := checkName("member id", m.ID); err != nil {
			return err
		}
		if m.Address == "" {
			return fmt.Errorf("member %s has no address: write it as %s=host:port", m.ID, m.ID)
		}
		if err := checkPeerAddress("address of member "+m.ID, m.Address); err != nil {
			return err
		}
		if ids[m.ID] {
			return fmt.Errorf("member %s is listed twice: list every node once", m.ID)
		}
		if other, taken := addresses[m.Address]; taken {
			return fmt.Errorf("members %s and %s have the same address %s: give every node its own", other, m.ID, m.Address)
		}
		ids[m.ID], addresses[m.Address] = true, m.ID
	}
	return nil
}

// checkSelf demands that this node is among the members, under its own address.
func checkSelf(id, peerAddr string, members []actors.Member) error {
	for _, m := range members {
		if m.ID != id {
			continue
		}
		if m.Address != peerAddr {
			return fmt.Errorf("the members say that node %s is at %s, but this node's peer address is %s: make them equal",
				id, m.Address, peerAddr)
		}
		return nil
	}
	return fmt.Errorf("node %s is not among the members: list every node, itself included", id)
}

func toRecord(members []actors.Member) []*messages.Member {
	list := make([]*messages.Member, len(members))
	for i, m := range members {
		list[i] = &messages.Member{Id: m.ID, Address: m.Address}
	}
	return list
}

func fromRecord(list []*messages.Member) []actors.Member {
	members := make([]actors.Member, len(list))
	for i, m := range list {
		members[i] = actors.Member{ID: m.GetId(), Address: m.GetAddress()}
	}
	return members
}
